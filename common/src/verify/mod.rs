//! Compares what pipeline A or B has written with a recomputation from the source, under the job's lease.

mod findings;
mod quarantine;

use std::collections::HashSet;
use std::hash::Hash;
use std::time::Duration;

use rand::seq::IteratorRandom;

pub use findings::{Column, Compared, Findings, Found};
pub use quarantine::QuarantineDifference;

use crate::batch::BatchError;
use crate::increment::Increment;
use crate::offsets::Gap;
use crate::run::{Exit, JobError, Shutdown, Stopwatch, new_run_id};
use crate::schema::{Transaction, TxnId};
use crate::settings::{IncrementArgs, OutputFormat, RecomputeArgs, SourceArgs};
use crate::source::{Job, Lease, Part, Source, SourceError, SourceKeys};

/// How long a run in progress is waited for.
const WAIT: Duration = Duration::from_secs(30);

/// Between two looks at the lease.
const PAUSE: Duration = Duration::from_millis(250);

/// For giving the lease back; it expires by itself.
const ENDING: Duration = Duration::from_secs(5);

/// What the job has written down, and how it reads the source.
#[derive(Debug)]
pub struct Books {
    /// The source.
    pub source: Source,
    /// Which of its promises the source keeps.
    pub keys: SourceKeys,
    /// Everything up to the committed offset: reading it is the recomputation.
    pub increment: Increment,
    /// How the source is read.
    pub settings: IncrementArgs,
    gaps: Vec<Gap>,
    highest: TxnId,
}

impl Books {
    async fn open(source: Source, job: Job) -> Result<Self, BatchError> {
        let keys = source.check_schema().await?;
        // What was let in once is compared, however much of it is rejected.
        let settings = IncrementArgs { max_quarantine_ratio: 1.0, ..IncrementArgs::default() };
        // Asks nothing by writing, and leaves the gaps as they are.
        let asked = RecomputeArgs { full: true, dry_run: true, ..RecomputeArgs::default() };
        let mut increment = Increment::find(&source, job, &settings, &asked).await?;
        let highest = std::mem::replace(&mut increment.highest, increment.watermark);
        let gaps = source.gaps(job).await?;
        Ok(Self { source, keys, increment, settings, gaps, highest })
    }

    /// Passes on every row that the next run is going to look at anyway: behind the offset, or in an open gap.
    ///
    /// A run that was killed may have written what they belong to, so that differs rightly from what the offset
    /// says. Read last: then no row is in the recomputation without being here.
    pub async fn later_rows(&self, mut each: impl FnMut(&Transaction)) -> Result<(), SourceError> {
        let settings = &self.settings;
        let mut parts = Part::ids_between(self.increment.watermark, self.highest, settings.read_partitions);
        let gaps: Vec<(u64, u64)> = self.gaps.iter().map(|gap| (gap.first, gap.last)).collect();
        parts.extend(Part::id_ranges(&gaps));
        let mut reader = self.source.read(parts, settings.read_connections);
        while let Some(batch) = reader.next().await? {
            batch.rows.iter().for_each(&mut each);
        }
        Ok(())
    }
}

/// `count` of `all`, at random.
#[must_use]
pub fn sample<T: Hash + Eq>(all: impl IntoIterator<Item = T>, count: usize) -> HashSet<T> {
    all.into_iter().choose_multiple(&mut rand::rng(), count).into_iter().collect()
}

/// Runs `compare` under the lease of `job` and prints what it has found: exit code 0 when nothing differs, 3 when
/// anything does, 4 while another run holds the lease for longer than 30 s.
pub async fn run<D: Found, E: JobError + From<BatchError>>(
    job: Job,
    (source, output): (&SourceArgs, OutputFormat),
    shutdown: &Shutdown,
    compare: impl AsyncFnOnce(&mut Books) -> Result<Compared<D>, E>,
) -> Exit {
    let begun = shutdown.or(begin(job, source)).await.unwrap_or(Err(BatchError::Interrupted));
    let result = match begun {
        Ok(Some((source, lease))) => {
            // Boxed: the nested futures are otherwise too deep for the compiler.
            Box::pin(under_lease(job, &source, lease, shutdown, compare)).await
        }
        Ok(None) => Ok(Compared::nothing()),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(compared) => compared.print(job, output),
        Err(error) if error.interrupted() => {
            tracing::error!("stopped by a signal before everything was compared");
            // Not 0, which would say that nothing differs.
            Exit::Failed
        }
        Err(error) => {
            tracing::error!("{error}");
            error.exit()
        }
    }
}

/// Opens the source and takes the lease; `None` when the job has not committed anything yet.
async fn begin(job: Job, source: &SourceArgs) -> Result<Option<(Source, Lease)>, BatchError> {
    let source = Source::open(&source.source).await?;
    if !source.has_own_tables().await? || source.watermark(job).await? == TxnId(0) {
        return Ok(None);
    }
    let (watch, owner, ttl) = (Stopwatch::start(), new_run_id(), IncrementArgs::default().lease_ttl);
    loop {
        match source.acquire_lease(job, &owner, ttl).await? {
            Some(lease) => return Ok(Some((source, lease))),
            None if watch.elapsed() < WAIT => tokio::time::sleep(PAUSE).await,
            None => return Err(BatchError::Locked(job.name())),
        }
    }
}

async fn under_lease<D, E: JobError + From<BatchError>>(
    job: Job,
    source: &Source,
    lease: Lease,
    shutdown: &Shutdown,
    compare: impl AsyncFnOnce(&mut Books) -> Result<Compared<D>, E>,
) -> Result<Compared<D>, E> {
    let lost = lease.lost();
    let work = async {
        let mut books = Books::open(source.clone(), job).await?;
        compare(&mut books).await
    };
    let result = tokio::select! {
        biased;
        () = shutdown.wait() => Err(BatchError::Interrupted.into()),
        () = lost.wait() => Err(BatchError::Source(SourceError::LeaseLost).into()),
        result = work => result,
    };
    if !matches!(tokio::time::timeout(ENDING, source.release_lease(lease)).await, Ok(Ok(()))) {
        tracing::warn!("the lease could not be given back; it expires by itself");
    }
    result
}
