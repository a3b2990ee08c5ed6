//! A run of pipeline A or B: under the job's lease, until it commits, fails or is told to stop.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use crate::examine::{NotMetAgain, TooManyRejected};
use crate::increment::{Increment, OffsetBeyondTable};
use crate::quality::QuarantineEntry;
use crate::run::{Clock, Exit, JobError, RunReport, Shutdown, Stopwatch, conclude, new_run_id, repeat};
use crate::settings::{IncrementArgs, OutputFormat, RunArgs, SourceArgs};
use crate::source::{Job, Lease, Source, SourceError};

/// Time for writing down a run's end; a signal leaves 10 s for everything.
const ENDING: Duration = Duration::from_secs(5);

/// What ends a batch of either job badly.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// Another run of the job is at work.
    #[error("another run of {0} holds its lease; it ends by itself or expires")]
    Locked(&'static str),
    /// SIGTERM or SIGINT came before the commit.
    #[error("stopped by a signal before the commit; nothing of this batch counts")]
    Interrupted,
    /// The source failed, or another run took the lease.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The offset does not fit the table.
    #[error(transparent)]
    Offset(#[from] OffsetBeyondTable),
    /// A quality gate refused the batch.
    #[error(transparent)]
    Refused(#[from] TooManyRejected),
    /// The same, which came to light after a part of the batch had been written: "refused" means untouched.
    #[error(
        "{refused}; other {written} are up to date already, what they hold is read again by the next run"
    )]
    RefusedLate {
        /// Why.
        refused: TooManyRejected,
        /// What the job writes: `profiles` or `dates`.
        written: &'static str,
    },
    /// Rows are missing in the recomputation.
    #[error(transparent)]
    NotMetAgain(#[from] NotMetAgain),
}

impl BatchError {
    /// The exit code of a program that ends with this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Locked(_) => Exit::Locked,
            Self::Interrupted => Exit::Done,
            Self::Source(error) => error.exit(),
            Self::Offset(_) | Self::Refused(_) => Exit::Refused,
            Self::RefusedLate { .. } | Self::NotMetAgain(_) => Exit::Failed,
        }
    }

    /// Whether a signal, not a fault, ended the run.
    #[must_use]
    pub fn interrupted(&self) -> bool {
        matches!(self, Self::Interrupted)
    }
}

/// How a batch ended well.
#[derive(Debug)]
pub enum Outcome {
    /// Something was committed, the report with it.
    Committed(RunReport),
    /// There was nothing to do.
    Idle(RunReport),
}

/// What a batch works with.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Which job.
    pub job: Job,
    /// The source, and where the books are kept.
    pub source: &'a Source,
    /// The run's right to write.
    pub lease: &'a Lease,
    /// Tells the time.
    pub clock: &'a Clock,
    /// Started with the batch.
    pub watch: Stopwatch,
    /// To be filled in.
    pub report: RunReport,
}

impl Batch<'_> {
    /// Puts those of `entries` into quarantine that it does not say yet, before the offset passes them.
    pub async fn quarantine<'e>(
        &self,
        increment: &Increment,
        entries: impl Iterator<Item = &'e QuarantineEntry>,
    ) -> Result<(), SourceError> {
        let news: Vec<&QuarantineEntry> = entries.filter(|entry| increment.is_news(entry)).collect();
        self.source.put_in_quarantine(self.job, self.lease, &news, self.clock.now()).await?;
        for entry in news.iter().filter(|entry| !increment.quarantined.contains_key(&entry.key())) {
            for reason in entry.reasons.iter() {
                metrics::counter!("tributary_quarantined_total", "pipeline" => self.job.name(), "reason" => reason.code())
                    .increment(1);
            }
        }
        Ok(())
    }
}

/// Runs `job` once, or with `--every` until `shutdown`; prints a report for each run.
pub async fn run<E: JobError + From<BatchError>>(
    job: Job,
    (args, source, increment): (&RunArgs, &SourceArgs, &IncrementArgs),
    clock: &Clock,
    shutdown: &Shutdown,
    mut batch: impl AsyncFnMut(Batch<'_>) -> Result<Outcome, E>,
) -> Exit {
    repeat(args, shutdown, async || {
        let report = fresh_report(job, clock);
        let begin = async {
            let source = Source::open(&source.source).await?;
            source.create_own_tables().await?;
            let lease = source.acquire_lease(job, &report.run_id, increment.lease_ttl).await?;
            Ok((source, lease.ok_or(BatchError::Locked(job.name()))?))
        };
        match shutdown.or(begin).await.unwrap_or(Err(BatchError::Interrupted)) {
            Ok((source, lease)) => {
                // Boxed: the nested futures of a whole job are otherwise too deep for the compiler.
                Box::pin(under_lease(job, &source, lease, report, clock, shutdown, &mut batch)).await
            }
            Err(error) => (report, Err(error.into())),
        }
    })
    .await
}

/// What a batch would do.
#[derive(Debug)]
pub struct Rehearsal {
    /// What was read and found.
    pub report: RunReport,
    /// The report's field for the keys.
    pub field: &'static str,
    /// What would be recomputed.
    pub keys: Vec<Value>,
}

/// Runs `look` once, which does what a batch does but for its writing, and prints what it found.
pub async fn rehearse<E: JobError + From<BatchError>>(
    job: Job,
    (args, source, _): (&RunArgs, &SourceArgs, &IncrementArgs),
    clock: &Clock,
    shutdown: &Shutdown,
    look: impl AsyncFnOnce(&Source, RunReport) -> Result<Rehearsal, E>,
) -> Exit {
    let watch = Stopwatch::start();
    let report = fresh_report(job, clock).with("dry_run", true);
    let work = Box::pin(async {
        let source = Source::open(&source.source).await.map_err(BatchError::from)?;
        look(&source, report.clone()).await
    });
    let result = shutdown.or(work).await.unwrap_or(Err(BatchError::Interrupted.into()));
    let (mut report, result, plan) = match result {
        Ok(Rehearsal { report, field, keys }) => {
            let plan = format!("would recompute {field}: {}", listed(&keys));
            (report.with(field, keys), Ok(()), plan)
        }
        Err(error) => (report, Err(error), String::new()),
    };
    report.duration_ms = watch.elapsed_ms();
    let exit = conclude(&mut report, &result, args.output);
    if args.output == OutputFormat::Text && result.is_ok() {
        let _ = writeln!(std::io::stdout(), "{plan}");
    }
    exit
}

fn listed(keys: &[Value]) -> String {
    if keys.is_empty() {
        return "none".to_owned();
    }
    let plain = |key: &Value| key.as_str().map_or_else(|| key.to_string(), str::to_owned);
    keys.iter().map(plain).collect::<Vec<_>>().join(", ")
}

/// A report with all the job's fields, however the run ends.
fn fresh_report(job: Job, clock: &Clock) -> RunReport {
    let report = RunReport::started(job.name(), &new_run_id(), clock.now())
        .with("from_txn_id", Value::Null)
        .with("to_txn_id", Value::Null)
        .with("open_gaps", 0);
    match job {
        Job::Profiles => report.with("customers", 0),
        Job::Summaries => report.with("dates", Value::Array(Vec::new())),
    }
}

/// Runs `batch` while holding `lease`, and keeps the report of a run that did not commit.
async fn under_lease<E: JobError + From<BatchError>>(
    job: Job,
    source: &Source,
    lease: Lease,
    mut report: RunReport,
    clock: &Clock,
    shutdown: &Shutdown,
    batch: &mut impl AsyncFnMut(Batch<'_>) -> Result<Outcome, E>,
) -> (RunReport, Result<(), E>) {
    let lost = lease.lost();
    let watch = Stopwatch::start();
    let work = Batch { job, source, lease: &lease, clock, watch, report: report.clone() };
    let result = tokio::select! {
        biased;
        () = shutdown.wait() => Err(BatchError::Interrupted.into()),
        () = lost.wait() => Err(BatchError::Source(SourceError::LeaseLost).into()),
        result = batch(work) => result,
    };
    report.duration_ms = watch.elapsed_ms();
    let (committed, result) = match result {
        Ok(Outcome::Committed(done)) => (Some(done), Ok(())),
        Ok(Outcome::Idle(done)) => {
            report = RunReport { duration_ms: report.duration_ms, ..done };
            (None, Ok(()))
        }
        Err(error) => {
            report.end_with(&error);
            (None, Err(error))
        }
    };
    let end = async {
        if committed.is_none() {
            source.record_run(job, &report).await?;
        }
        source.prune_history(job).await?;
        source.release_lease(lease).await
    };
    // The history is for people, and a lease expires by itself: neither makes a run fail, nor its end late.
    match tokio::time::timeout(ENDING, end).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the run's end was not written down"),
        Err(_) => tracing::warn!("the run's end was not written down: the source does not answer"),
    }
    (committed.unwrap_or(report), result)
}
