//! The only place that writes: quarantine, profiles, read-back, and last the offset.

use common::increment::{Gaps, Increment};
use common::partitioning::write_parallelism;
use common::profiles::Profiles;
use common::run::{Clock, RunReport, RunStatus, Stopwatch};
use common::schema::CustomerProfile;
use common::source::{Commit, Lease, Source, SourceError};

use crate::JOB;
use crate::config::{ReadBack, Tuning};
use crate::error::Error;
use crate::transform::Profiled;

/// Profiles that `--read-back sample` compares.
const SAMPLE: usize = 100;

/// Writes one batch. A kill between any two steps leaves work to repeat, never something lost or doubled.
#[derive(Debug)]
pub struct Loader<'a> {
    /// Where the books are kept.
    pub source: &'a Source,
    /// The run's right to write.
    pub lease: &'a Lease,
    /// What the batch accounts for.
    pub increment: &'a Increment,
    /// Settings.
    pub tuning: &'a Tuning,
}

impl Loader<'_> {
    /// Puts what was not accepted into quarantine, before the offset passes it.
    pub async fn quarantine(&self, result: &Profiled, clock: &Clock) -> Result<(), SourceError> {
        let known = &self.increment.quarantined;
        self.source.put_in_quarantine(JOB, self.lease, known, &result.entries, clock.now()).await?;
        for entry in result.entries.iter().filter(|entry| !known.contains_key(&(entry.entity, entry.id))) {
            for reason in entry.reasons.iter() {
                metrics::counter!("tributary_quarantined_total", "job" => JOB.name(), "reason" => reason.code())
                    .increment(1);
            }
        }
        Ok(())
    }

    /// Writes the profiles and reads some back.
    pub async fn write(&self, profiles: &Profiles, result: &Profiled) -> Result<(), Error> {
        profiles.create_table().await?;
        self.source.check_lease(self.lease).await?;
        let fence = self.lease.fence();
        let in_flight = write_parallelism(result.profiles.len() as u64, self.tuning.write_parallelism);
        let in_flight = usize::try_from(in_flight).unwrap_or(usize::MAX);
        profiles.put(&result.profiles, fence, in_flight).await?;
        profiles.delete(&result.gone, fence).await?;
        profiles.read_back(self.to_read_back(&result.profiles)).await?;
        Ok(())
    }

    fn to_read_back<'p>(&self, written: &'p [CustomerProfile]) -> impl Iterator<Item = &'p CustomerProfile> {
        let (step, most) = match self.tuning.read_back {
            ReadBack::All => (1, usize::MAX),
            ReadBack::Sample => (written.len().div_ceil(SAMPLE).max(1), SAMPLE),
            ReadBack::Off => (1, 0),
        };
        written.iter().step_by(step).take(most)
    }

    /// Moves the offset over everything that is written now; the report says what that was.
    pub async fn commit(
        &self,
        result: &Profiled,
        gaps: &Gaps,
        mut report: RunReport,
        watch: &Stopwatch,
    ) -> Result<RunReport, SourceError> {
        let known = &self.increment.quarantined;
        let added =
            result.entries.iter().filter(|entry| !known.contains_key(&(entry.entity, entry.id))).count();
        let left = result.corrected.iter().filter(|key| known.contains_key(key)).count();
        report.status = RunStatus::Ok;
        report.read = result.rows;
        report.written = result.profiles.len() as u64;
        report.quarantined = (known.len() + added - left) as u64;
        report.warnings.clone_from(&result.warnings);
        report.duration_ms = watch.elapsed_ms();
        let open: u64 = gaps.open.iter().map(common::offsets::Gap::ids).sum();
        let report = report
            .with("from_txn_id", self.increment.watermark.0.saturating_add(1))
            .with("to_txn_id", self.increment.highest.0)
            .with("open_gaps", gaps.open.len())
            .with("open_gap_ids", open)
            .with("settled_gaps", gaps.settled)
            .with("customers", result.profiles.len() + result.gone.len())
            .with("accepted_amount", result.accepted_amount.to_string())
            .with("withheld_amount", result.withheld_amount.to_string());
        let commit = Commit {
            watermark: self.increment.highest,
            gaps: &gaps.open,
            corrected: &result.corrected,
            report: &report,
        };
        self.source.commit(JOB, self.lease, &commit).await?;
        Ok(report)
    }
}

/// The report of a run that had nothing to do.
#[must_use]
pub fn idle_report(mut report: RunReport, increment: &Increment, watch: &Stopwatch) -> RunReport {
    report.quarantined = increment.quarantined.len() as u64;
    report.duration_ms = watch.elapsed_ms();
    report
        .with("from_txn_id", increment.watermark.0.saturating_add(1))
        .with("to_txn_id", increment.highest.0)
        .with("open_gaps", increment.open_gaps())
        .with("customers", 0)
}
