//! The only place that writes: profiles, read-back, quarantine, and last the offset.

use std::collections::HashSet;

use common::batch::Batch;
use common::increment::{Gaps, Increment};
use common::partitioning::write_parallelism;
use common::profiles::Profiles;
use common::run::{RunReport, failpoint};
use common::schema::{CustomerId, CustomerProfile};
use common::source::{Commit, SourceError};

use crate::config::{ReadBack, WriteArgs};
use crate::error::Error;
use crate::transform::Profiled;

/// Profiles that `--read-back sample` compares.
const SAMPLE: usize = 100;

/// Writes one batch. A kill between any two steps leaves work to repeat, never something lost or doubled.
#[derive(Debug)]
pub struct Loader<'a> {
    /// The run, its lease and its source.
    pub batch: &'a Batch<'a>,
    /// What the batch accounts for.
    pub increment: &'a Increment,
    /// Settings.
    pub settings: &'a WriteArgs,
}

impl Loader<'_> {
    /// Puts what was not accepted into quarantine: after the profiles, since a key that stands there counts as taken
    /// out of them, and before the offset passes it.
    pub async fn quarantine(&self, result: &Profiled) -> Result<(), SourceError> {
        self.batch.quarantine(self.increment, result.entries.iter()).await
    }

    /// Writes the profiles and reads some back.
    pub async fn write(&self, profiles: &Profiles, result: &mut Profiled) -> Result<(), Error> {
        profiles.create_table().await?;
        if result.everyone {
            let written: HashSet<CustomerId> =
                result.profiles.iter().map(|profile| profile.customer_id).collect();
            let stale = |id: &CustomerId| !written.contains(id) && !result.withheld.contains(id);
            result.gone = profiles.ids().await?.into_iter().filter(stale).collect();
        }
        self.batch.source.check_lease(self.batch.lease).await?;
        let fence = self.batch.lease.fence();
        let in_flight = write_parallelism(result.profiles.len() as u64, self.settings.write_parallelism);
        let in_flight = usize::try_from(in_flight).unwrap_or(usize::MAX);
        profiles.put(&result.profiles, fence, in_flight).await?;
        failpoint("written");
        // A run that was overtaken finds the other's profiles: no fault of the store.
        self.batch.source.check_lease(self.batch.lease).await?;
        profiles.delete(&result.gone, fence).await?;
        failpoint("removed");
        profiles.read_back(self.to_read_back(&result.profiles)).await?;
        Ok(())
    }

    fn to_read_back<'p>(&self, written: &'p [CustomerProfile]) -> impl Iterator<Item = &'p CustomerProfile> {
        let (step, most) = match self.settings.read_back {
            ReadBack::All => (1, usize::MAX),
            ReadBack::Sample => (written.len().div_ceil(SAMPLE).max(1), SAMPLE),
            ReadBack::Off => (1, 0),
        };
        written.iter().step_by(step).take(most)
    }

    /// Moves the offset over everything that is written now; the report says what that was.
    pub async fn commit(&self, result: &Profiled, gaps: &Gaps) -> Result<RunReport, SourceError> {
        let Batch { job, source, lease, watch, report, .. } = self.batch;
        let mut report = self.increment.done(report.clone(), gaps, &result.entries, &result.corrected);
        report.read = result.rows;
        report.written = result.profiles.len() as u64;
        report.warnings.clone_from(&result.warnings);
        report.duration_ms = watch.elapsed_ms();
        let report = report
            .with("customers", result.profiles.len() + result.gone.len())
            .with("accepted_rows", result.accepted_rows)
            .with("accepted_amount", result.accepted_amount.to_string())
            .with("withheld_amount", result.withheld_amount.to_string());
        let commit = Commit {
            watermark: self.increment.highest,
            gaps: &gaps.open,
            corrected: &result.corrected,
            report: &report,
        };
        failpoint("before_commit");
        source.commit(*job, lease, &commit).await?;
        failpoint("committed");
        Ok(report)
    }
}
