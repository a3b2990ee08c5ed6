//! The only place that writes: profiles, read-back, quarantine, and last the offset.

use std::collections::{BTreeMap, HashSet};

use common::batch::{Batch, BatchError};
use common::examine::TooManyRejected;
use common::increment::{Gaps, Increment};
use common::partitioning::write_parallelism;
use common::profiles::{Profiles, ProfilesError};
use common::quality::QuarantineEntry;
use common::run::{RunReport, failpoint};
use common::schema::{CustomerId, CustomerProfile};
use common::source::{Commit, QuarantinedKey, SourceError};
use rust_decimal::Decimal;

use crate::config::{ReadBack, WriteArgs};
use crate::error::{Error, Sums};
use crate::extract::Extracted;
use crate::transform::Profiled;

/// Profiles of a slice that `--read-back sample` compares.
const SAMPLE: usize = 100;

/// Writes one batch. A kill between any two steps leaves work to repeat, never something lost or doubled.
#[derive(Debug)]
pub struct Loader<'a> {
    batch: &'a Batch<'a>,
    increment: &'a Increment,
    settings: &'a WriteArgs,
    /// Customers with a profile when the batch began, where everything is recomputed.
    standing: Vec<CustomerId>,
    written: u64,
    removed: u64,
    accepted: Sums,
    withheld_amount: Decimal,
    /// What is to be said of customers whose profile was not written.
    entries: Vec<QuarantineEntry>,
    warnings: BTreeMap<String, u64>,
}

impl<'a> Loader<'a> {
    /// A loader for what `increment` accounts for.
    #[must_use]
    pub fn new(batch: &'a Batch<'a>, increment: &'a Increment, settings: &'a WriteArgs) -> Self {
        Self {
            batch,
            increment,
            settings,
            standing: Vec::new(),
            written: 0,
            removed: 0,
            accepted: Sums::default(),
            withheld_amount: Decimal::ZERO,
            entries: Vec::new(),
            warnings: BTreeMap::new(),
        }
    }

    /// Makes the table if it is missing, and notes who has a profile if everybody's is recomputed.
    pub async fn look_at(&mut self, profiles: &Profiles) -> Result<(), Error> {
        profiles.create_table().await?;
        if self.increment.everything {
            self.standing = profiles.ids().await?;
        }
        Ok(())
    }

    /// Writes the profiles of a slice, removes those of customers without a purchase, and reads some back.
    pub async fn write(&mut self, profiles: &Profiles, mut result: Profiled) -> Result<(), Error> {
        let Batch { source, lease, .. } = self.batch;
        source.check_lease(lease).await?;
        let in_flight = write_parallelism(result.profiles.len() as u64, self.settings.write_parallelism);
        let in_flight = usize::try_from(in_flight).unwrap_or(usize::MAX);
        self.within_term(async || profiles.put(&result.profiles, lease.fence(), in_flight).await).await?;
        failpoint("written");
        let gone = result.gone(&self.standing);
        self.within_term(async || profiles.delete(&gone, lease.fence()).await).await?;
        failpoint("removed");
        // A run that was overtaken finds the other's profiles: no fault of the store.
        source.check_lease(lease).await?;
        profiles.read_back(self.to_read_back(&result.profiles)).await?;

        self.written += result.profiles.len() as u64;
        self.removed += gone.len() as u64;
        self.accepted += result.accepted;
        self.withheld_amount += result.withheld_amount;
        self.entries.append(&mut result.entries);
        for (warning, count) in result.warnings {
            *self.warnings.entry(warning).or_default() += count;
        }
        Ok(())
    }

    /// Writes, and after a pause that was longer than the lease lasts once more, if nobody has taken it over.
    async fn within_term(&self, write: impl AsyncFn() -> Result<(), ProfilesError>) -> Result<(), Error> {
        loop {
            self.batch.source.assure_lease(self.batch.lease).await?;
            match write().await {
                Err(ProfilesError::TermOver) => {}
                done => return Ok(done?),
            }
        }
    }

    /// The end of a batch that a gate refuses: "refused" says that nothing was written.
    #[must_use]
    pub fn refused(&self, refused: TooManyRejected) -> BatchError {
        if self.written + self.removed == 0 {
            refused.into()
        } else {
            BatchError::RefusedLate { refused, written: "profiles" }
        }
    }

    fn to_read_back<'p>(&self, written: &'p [CustomerProfile]) -> impl Iterator<Item = &'p CustomerProfile> {
        let (step, most) = match self.settings.read_back {
            ReadBack::All => (1, usize::MAX),
            ReadBack::Sample => (written.len().div_ceil(SAMPLE).max(1), SAMPLE),
            ReadBack::Off => (1, 0),
        };
        written.iter().step_by(step).take(most)
    }

    /// Puts what was not accepted into quarantine: after the profiles, since a key that stands there counts as taken
    /// out of them, and before the offset passes it.
    pub async fn quarantine(&self, extracted: &Extracted) -> Result<(), SourceError> {
        self.batch.quarantine(self.increment, extracted.entries(&self.entries)).await
    }

    /// Moves the offset over everything that is written now; the report says what that was.
    pub async fn commit(&self, extracted: &Extracted, gaps: &Gaps) -> Result<RunReport, SourceError> {
        let Batch { job, source, lease, watch, report, .. } = self.batch;
        let entries: Vec<&QuarantineEntry> = extracted.entries(&self.entries).collect();
        let mut corrected = extracted.examined.corrected_for_good();
        let rejected: HashSet<QuarantinedKey> = entries.iter().map(|entry| entry.key()).collect();
        corrected.extend(extracted.no_longer_bad.difference(&rejected).copied());
        let mut report = self.increment.done(report.clone(), gaps, entries, &corrected);
        report.read = extracted.rows;
        report.written = self.written;
        report.warnings.clone_from(&self.warnings);
        report.duration_ms = watch.elapsed_ms();
        let report = report
            .with("customers", self.written + self.removed)
            .with("accepted_rows", self.accepted.rows)
            .with("accepted_amount", self.accepted.amount.to_string())
            .with("withheld_amount", self.withheld_amount.to_string());
        let commit = Commit {
            watermark: self.increment.highest,
            gaps: &gaps.open,
            corrected: &corrected,
            report: &report,
        };
        failpoint("before_commit");
        source.commit(*job, lease, &commit).await?;
        failpoint("committed");
        Ok(report)
    }
}
