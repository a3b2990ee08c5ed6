//! A run of pipeline A or B: under the job's lease, until it commits, fails or is told to stop.

use std::time::Duration;

use crate::run::{JobError, RunReport, Shutdown};
use crate::source::{Job, Lease, Source, SourceError};

/// Why a batch ended before its own code could say.
#[derive(Debug, thiserror::Error)]
pub enum BatchEnd {
    /// Another run of the job is at work.
    #[error("another run of {0} holds its lease; it ends by itself or expires")]
    Locked(&'static str),
    /// SIGTERM or SIGINT came before the commit.
    #[error("stopped by a signal before the commit; nothing of this batch counts")]
    Interrupted,
    /// The source failed, or another run took the lease.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Runs `batch` while holding the lease of `job`, and keeps the report of a run that did not commit.
///
/// `batch` gets the report to fill in and returns it; a batch that committed has kept it already.
pub async fn under_lease<E: JobError + From<BatchEnd>>(
    source: &Source,
    job: Job,
    lease_ttl: Duration,
    shutdown: &Shutdown,
    mut report: RunReport,
    batch: impl AsyncFnOnce(&Lease, RunReport) -> Result<Outcome, E>,
) -> (RunReport, Result<(), E>) {
    let lease = match take_lease(source, job, lease_ttl, &report.run_id).await {
        Ok(lease) => lease,
        Err(end) => return (report, Err(end.into())),
    };
    let lost = lease.lost();
    let result = tokio::select! {
        biased;
        () = shutdown.wait() => Err(BatchEnd::Interrupted.into()),
        () = lost.wait() => Err(BatchEnd::Source(SourceError::LeaseLost).into()),
        result = batch(&lease, report.clone()) => result,
    };
    let result = match result {
        Ok(Outcome::Committed(done)) => {
            report = done;
            Ok(())
        }
        Ok(Outcome::Idle(done)) => {
            report = done;
            keep(source, job, &report).await;
            Ok(())
        }
        Err(error) => {
            report.end_with(&error);
            keep(source, job, &report).await;
            Err(error)
        }
    };
    if let Err(error) = source.release_lease(lease).await {
        tracing::warn!(%error, "the lease was not given back; the next run waits until it expires");
    }
    (report, result)
}

/// How a batch ended well.
#[derive(Debug)]
pub enum Outcome {
    /// Something was committed, the report with it.
    Committed(RunReport),
    /// There was nothing to do.
    Idle(RunReport),
}

async fn take_lease(source: &Source, job: Job, ttl: Duration, run_id: &str) -> Result<Lease, BatchEnd> {
    source.create_own_tables().await?;
    source.acquire_lease(job, run_id, ttl).await?.ok_or(BatchEnd::Locked(job.name()))
}

/// The history is for people; a run does not fail because it could not be kept.
async fn keep(source: &Source, job: Job, report: &RunReport) {
    if let Err(error) = source.record_run(job, report).await {
        tracing::warn!(%error, "the run is missing in the history");
    }
}
