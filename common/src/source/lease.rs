//! One run of a job at a time: a lease with a fencing number, in the source database.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::decode::SourceRow;
use super::dialect::Dialect;
use super::{Job, Source, SourceError, on_pool};
use crate::run::{Stopwatch, WriteFence};

/// A run's right to write, renewed in the background until it is dropped or released.
#[derive(Debug)]
pub struct Lease {
    job: Job,
    fence: WriteFence,
    ttl: Duration,
    lost: CancellationToken,
    renewer: JoinHandle<()>,
}

/// Tells that a lease was taken over.
#[derive(Debug, Clone)]
pub struct LeaseLost(CancellationToken);

impl LeaseLost {
    /// Waits until the lease is lost; for ever, if it never is.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }
}

impl Lease {
    /// The run's fencing number: microseconds since 1970 at the start, and always larger than an earlier run's.
    #[must_use]
    pub fn fence(&self) -> &WriteFence {
        &self.fence
    }

    /// Tells when another run has taken over.
    #[must_use]
    pub fn lost(&self) -> LeaseLost {
        LeaseLost(self.lost.clone())
    }

    /// Renews the lease, and changes no row when it is no longer ours.
    pub(super) fn renewal(&self, dialect: &Dialect) -> String {
        renewal(dialect, self.job, self.fence.number(), self.ttl)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewer.abort();
    }
}

fn renewal(dialect: &Dialect, job: Job, fence: i64, ttl: Duration) -> String {
    format!(
        "UPDATE etl_lease SET expires_at = {} + {} WHERE job = '{}' AND fence = {fence}",
        dialect.now_micros,
        ttl.as_micros(),
        job.name()
    )
}

impl Source {
    /// Takes the job's lease for `ttl`, by the database's clock; `None` while another run holds it.
    pub async fn acquire_lease(
        &self,
        job: Job,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, SourceError> {
        let watch = Stopwatch::start();
        let taken = on_pool!(self, |pool, dialect| {
            async {
                // Fails where the row exists, and that is fine.
                let _ =
                    sqlx::query("INSERT INTO etl_lease (job, owner, fence, expires_at) VALUES (?, '', 0, 0)")
                        .bind(job.name())
                        .execute(pool)
                        .await;
                let now = dialect.now_micros;
                let take = format!(
                    "UPDATE etl_lease SET owner = ?, fence = {}(fence + 1, {now}), expires_at = {now} + {} \
                     WHERE job = ? AND expires_at < {now}",
                    dialect.greatest,
                    ttl.as_micros()
                );
                let taken =
                    sqlx::query(AssertSqlSafe(take)).bind(owner).bind(job.name()).execute(pool).await?;
                if taken.rows_affected() != 1 {
                    return Ok(None);
                }
                let fence = sqlx::query("SELECT fence FROM etl_lease WHERE job = ? AND owner = ?")
                    .bind(job.name())
                    .bind(owner)
                    .fetch_optional(pool)
                    .await?;
                Ok(fence.and_then(|row| row.integer(0)))
            }
            .await
        });
        let fence = taken.map_err(|error| self.fault("take the lease", error))?;
        let term = ttl.saturating_sub(watch.elapsed());
        Ok(fence.map(|number| self.renewed(job, WriteFence::new(number, term), ttl)))
    }

    fn renewed(&self, job: Job, fence: WriteFence, ttl: Duration) -> Lease {
        let lost = CancellationToken::new();
        let (source, cancel, renewing) = (self.clone(), lost.clone(), fence.clone());
        let renewer = tokio::spawn(async move {
            loop {
                tokio::time::sleep(ttl / 3).await;
                match source.renew(job, &renewing, ttl).await {
                    Ok(true) => {}
                    Ok(false) => return cancel.cancel(),
                    // The commit checks the lease once more, so a failed renewal needs no more than a note.
                    Err(error) => tracing::warn!(%error, "the lease could not be renewed"),
                }
            }
        });
        Lease { job, fence, ttl, lost, renewer }
    }

    async fn renew(&self, job: Job, fence: &WriteFence, ttl: Duration) -> Result<bool, SourceError> {
        let began = fence.elapsed();
        let renewed = on_pool!(self, |pool, dialect| {
            let renewal = renewal(dialect, job, fence.number(), ttl);
            let renewed = sqlx::query(AssertSqlSafe(renewal)).execute(pool).await;
            renewed.map(|done| done.rows_affected() == 1)
        })
        .map_err(|error| self.fault("renew the lease", error))?;
        if renewed {
            fence.extend(began, ttl);
        }
        Ok(renewed)
    }

    /// Fails with [`SourceError::LeaseLost`] when another run has taken over.
    pub async fn check_lease(&self, lease: &Lease) -> Result<(), SourceError> {
        if self.renew(lease.job, &lease.fence, lease.ttl).await? {
            Ok(())
        } else {
            Err(SourceError::LeaseLost)
        }
    }

    /// The same, to be asked before each write that the lease's number does not protect: costs nothing as long as the
    /// lease was renewed in time.
    pub async fn assure_lease(&self, lease: &Lease) -> Result<(), SourceError> {
        if lease.fence.is_over() { self.check_lease(lease).await } else { Ok(()) }
    }

    /// Gives the lease back, so that the next run need not wait for its end.
    pub async fn release_lease(&self, lease: Lease) -> Result<(), SourceError> {
        let sql = format!(
            "UPDATE etl_lease SET expires_at = 0 WHERE job = '{}' AND fence = {}",
            lease.job.name(),
            lease.fence.number()
        );
        drop(lease);
        on_pool!(self, |pool, dialect| sqlx::query(AssertSqlSafe(sql)).execute(pool).await.map(drop))
            .map_err(|error| self.fault("give the lease back", error))
    }
}
