//! What a run, or a batch of a run that stays, has done.

use std::collections::BTreeMap;

use std::time::Duration;

use common::run::{Clock, Exit, JobError, RunReport, RunStatus, conclude, new_run_id};
use common::settings::OutputFormat;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::history::History;
use crate::place::PartitionId;
use crate::round::Round;
use crate::tally::Tally;

/// Reports to standard output, to the metrics and to the history.
#[derive(Debug)]
pub struct Reports {
    summary: Summary,
    output: OutputFormat,
    history: Option<History>,
    concluded: u64,
}

impl Reports {
    /// Starts the first report.
    #[must_use]
    pub fn new(clock: &Clock, output: OutputFormat) -> Self {
        Self { summary: Summary::start(clock), output, history: None, concluded: 0 }
    }

    /// Keeps the reports here from now on.
    pub fn keep_in(&mut self, history: History) {
        self.history = Some(history);
    }

    /// Adds a batch that is visible.
    pub fn add(&mut self, round: &Round) {
        self.summary.add(round);
    }

    /// The next batch; `None` when there will be no more. A run that stays says at each interval that it is idle.
    pub async fn next(
        &mut self,
        visible: &mut mpsc::UnboundedReceiver<Round>,
        every: Option<Duration>,
    ) -> Option<Round> {
        let Some(every) = every else { return visible.recv().await };
        loop {
            match tokio::time::timeout(every.max(SHORTEST_IDLE), visible.recv()).await {
                Ok(round) => return round,
                Err(_) => drop(self.conclude(&Ok(())).await),
            }
        }
    }

    /// Whether there was a report, and nothing to be reported since.
    #[must_use]
    pub fn have_said_all(&self) -> bool {
        self.concluded > 0 && self.summary.tally.records == 0
    }

    /// Ends this report, and starts the next.
    pub async fn conclude(&mut self, result: &Result<(), Error>) -> Exit {
        self.concluded += 1;
        let mut report = self.summary.take();
        let exit = conclude(&mut report, result, self.output);
        // Who holds a lock, or cannot even be set up, has no place in the history.
        let kept = result.as_ref().map_or_else(|error| error.exit() != Exit::Usage, |()| true);
        if let Some(history) = self.history.as_mut().filter(|_| kept) {
            history.append(&report).await;
        }
        exit
    }
}

/// Idle reports come at most this often.
const SHORTEST_IDLE: Duration = Duration::from_secs(10);

/// Sums up rounds until the report is taken.
#[derive(Debug)]
struct Summary {
    report: RunReport,
    clock: Clock,
    tally: Tally,
    files: u64,
    partitions: BTreeMap<PartitionId, i64>,
    freshness_ms: Option<i64>,
}

impl Summary {
    fn start(clock: &Clock) -> Self {
        Self {
            report: RunReport::started("pipeline-c", &new_run_id(), clock.now()),
            clock: clock.clone(),
            tally: Tally::default(),
            files: 0,
            partitions: BTreeMap::new(),
            freshness_ms: None,
        }
    }

    fn add(&mut self, round: &Round) {
        observe(round);
        self.tally.add(round.tally.clone());
        for flush in &round.flushed {
            self.files += flush.files;
            self.partitions.insert(flush.partition, flush.next_offset);
        }
        self.freshness_ms = round.freshness_ms.or(self.freshness_ms);
    }

    /// The report, and a new start. Its duration is the time since the start.
    fn take(&mut self) -> RunReport {
        let Self { mut report, tally, files, partitions, freshness_ms, clock } =
            std::mem::replace(self, Self::start(&self.clock));
        let duration = clock.now() - report.started_at;
        report.duration_ms = u64::try_from(duration.num_milliseconds()).unwrap_or_default();
        report.status = if tally.records > 0 { RunStatus::Ok } else { RunStatus::Idle };
        report.read = tally.records;
        report.written = tally.event_rows();
        report.quarantined = tally.malformed_rows();
        report.warnings = tally.warnings.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let offsets: Map<_, _> =
            partitions.iter().map(|(id, next)| (id.0.to_string(), Value::from(*next))).collect();
        let reasons: Map<_, _> = tally
            .malformed
            .iter()
            .map(|(reason, count)| (reason.code().to_owned(), Value::from(*count)))
            .collect();
        report
            .with("partitions", offsets)
            .with("files", files)
            .with("malformed", tally.malformed_rows())
            .with("malformed_reasons", reasons)
            .with("freshness_ms", freshness_ms)
    }
}

fn observe(round: &Round) {
    if round.tally.records == 0 {
        return;
    }
    metrics::counter!("tributary_records_total", "pipeline" => "pipeline-c").increment(round.tally.records);
    for (reason, count) in &round.tally.malformed {
        metrics::counter!("tributary_malformed_total", "reason" => reason.code()).increment(*count);
    }
    for (warning, count) in &round.tally.warnings {
        metrics::counter!("tributary_warnings_total", "pipeline" => "pipeline-c", "reason" => *warning)
            .increment(*count);
    }
    let files: u64 = round.flushed.iter().map(|flush| flush.files).sum();
    metrics::counter!("tributary_files_written_total", "pipeline" => "pipeline-c").increment(files);
    metrics::histogram!("tributary_flush_duration_seconds").record(round.watch.elapsed().as_secs_f64());
}
