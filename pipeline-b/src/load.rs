//! The only place that writes: a file a date, read-back, quarantine, and last the offset.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::NaiveDate;
use common::batch::{Batch, BatchError};
use common::examine::TooManyRejected;
use common::increment::{Gaps, Increment};
use common::lake::{Expect, Lake, LakeError, ObjectMeta, TXN_SUMMARY, Version, date_folder, date_of};
use common::quality::Catalog;
use common::run::{RunReport, failpoint};
use common::source::{Commit, SourceError};
use futures::StreamExt;
use rust_decimal::Decimal;

use crate::error::Error;
use crate::extract::Extracted;
use crate::parquet::encode;
use crate::transform::{Day, money};
use crate::window::Window;

/// Dates that are encoded and uploaded side by side.
const DATES_AT_ONCE: usize = 4;

/// Writes one batch. A kill between any two steps leaves work to repeat, never something lost or doubled.
#[derive(Debug)]
pub struct Loader<'a> {
    batch: &'a Batch<'a>,
    increment: &'a Increment,
    catalog: Arc<Catalog>,
    /// The file of each date when the batch began: only that is replaced, so that a run which slept through
    /// the end of its lease cannot overwrite a newer one.
    standing: HashMap<NaiveDate, Version>,
    /// Whether any file may have been replaced or removed.
    touched: bool,
    written: u64,
    amount: Decimal,
    /// The first date that could not be summed up, and why; its file is as it was.
    not_made: Option<Error>,
}

impl<'a> Loader<'a> {
    /// A loader for what `increment` accounts for.
    #[must_use]
    pub fn new(batch: &'a Batch<'a>, increment: &'a Increment) -> Self {
        Self {
            batch,
            increment,
            catalog: Arc::default(),
            standing: HashMap::new(),
            touched: false,
            written: 0,
            amount: Decimal::ZERO,
            not_made: None,
        }
    }

    /// Puts what was not accepted into quarantine: after the files, since a key that stands there counts as taken out
    /// of them, and before the offset passes it.
    pub async fn quarantine(&self, extracted: &Extracted) -> Result<(), SourceError> {
        self.batch.quarantine(self.increment, extracted.examined.entries()).await
    }

    /// Notes which files stand, and ends uploads that an earlier run has left.
    pub async fn look_at(&mut self, lake: &Lake, extracted: &Extracted) -> Result<(), Error> {
        self.batch.source.check_lease(self.batch.lease).await?;
        self.catalog = Arc::clone(&extracted.catalog);
        // Whoever staged them held the lease before, and does no more.
        for upload in lake.uploads(TXN_SUMMARY).await? {
            lake.abort_upload(&upload).await?;
        }
        self.standing = standing(lake).await?;
        Ok(())
    }

    /// The dates that have a file.
    pub fn standing(&self) -> impl Iterator<Item = NaiveDate> {
        self.standing.keys().copied()
    }

    /// Replaces the files of a window's dates, and removes those of dates without a transaction. A date that cannot be
    /// summed up keeps no other waiting; see [`Loader::all_made`].
    pub async fn replace(&mut self, lake: &Lake, window: Window) -> Result<(), Error> {
        self.batch.source.check_lease(self.batch.lease).await?;
        self.touched = true;
        let this = &*self;
        let dates =
            futures::stream::iter(window.into_iter().map(|(date, day)| this.replace_date(lake, date, day)));
        let mut dates = dates.buffer_unordered(DATES_AT_ONCE);
        let (mut written, mut amount, mut not_made) = (0, Decimal::ZERO, None);
        while let Some(done) = dates.next().await {
            match done {
                Ok((rows, of_date)) => {
                    written += rows;
                    amount += of_date;
                }
                Err(error @ (Error::Summary { .. } | Error::NotConserved { .. })) => {
                    tracing::error!("{error}");
                    not_made.get_or_insert(error);
                }
                Err(error) => {
                    // A run that was overtaken finds the other's files: no fault of the lake.
                    self.batch.source.check_lease(self.batch.lease).await?;
                    return Err(error);
                }
            }
        }
        drop(dates);
        self.written += written;
        self.amount += amount;
        self.not_made = self.not_made.take().or(not_made);
        Ok(())
    }

    /// The end of a batch that a gate refuses: "refused" says that nothing was written.
    #[must_use]
    pub fn refused(&self, refused: TooManyRejected) -> BatchError {
        if self.touched { BatchError::RefusedLate { refused, written: "dates" } } else { refused.into() }
    }

    /// Fails if a date could not be summed up: the offset must not pass it. The next run does all of it again.
    pub fn all_made(&mut self) -> Result<(), Error> {
        self.not_made.take().map_or(Ok(()), Err)
    }

    async fn replace_date(&self, lake: &Lake, date: NaiveDate, day: Day) -> Result<(u64, Decimal), Error> {
        let path = path_of(date);
        let standing = self.standing.get(&date);
        if day.is_empty() {
            if let Some(version) = standing {
                self.batch.source.assure_lease(self.batch.lease).await?;
                lake.delete(&path, version).await?;
                failpoint("removed");
            }
            return Ok((0, Decimal::ZERO));
        }
        let (amount, catalog, run_id) = (day.amount(), Arc::clone(&self.catalog), self.run_id());
        let made = tokio::task::spawn_blocking(move || make_file(date, day, &catalog, &run_id)).await;
        let (rows, file) = made.expect("making a file does not panic")?;

        let size = file.len() as u64;
        let expect = standing.map_or(Expect::Absent, |version| Expect::Version(version.clone()));
        failpoint("made");
        self.batch.source.assure_lease(self.batch.lease).await?;
        let version = lake.put_file(&path, Bytes::from(file), &self.run_id(), &expect).await?;
        failpoint("written");
        read_back(lake, ObjectMeta { path, size, version }, rows).await?;
        failpoint("read_back");
        Ok((rows as u64, amount))
    }

    /// Names this run's files.
    fn run_id(&self) -> String {
        self.batch.lease.fence().number().to_string()
    }

    /// Moves the offset over everything that is written now; the report says what that was.
    pub async fn commit(&self, extracted: &Extracted, gaps: &Gaps) -> Result<RunReport, SourceError> {
        let Batch { job, source, lease, watch, report, .. } = self.batch;
        let corrected = extracted.examined.corrected_for_good();
        let mut report = self.increment.done(report.clone(), gaps, extracted.examined.entries(), &corrected);
        report.read = extracted.rows;
        report.written = self.written;
        report.warnings.clone_from(&extracted.warnings);
        report.duration_ms = watch.elapsed_ms();
        let report = report
            .with("dates", extracted.dates.iter().map(ToString::to_string).collect::<Vec<_>>())
            .with("accepted_amount", self.amount.to_string());
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

/// The file of each date.
pub async fn standing(lake: &Lake) -> Result<HashMap<NaiveDate, Version>, LakeError> {
    let files = lake.list(TXN_SUMMARY).await?.into_iter();
    let dated = files.filter_map(|file| {
        let date = date_of(&file.path, "date").filter(|date| file.path == path_of(*date))?;
        Some((date, file.version))
    });
    Ok(dated.collect())
}

/// Sums up a day, proves that no amount was lost or doubled, and encodes it.
fn make_file(date: NaiveDate, day: Day, catalog: &Catalog, run_id: &str) -> Result<(usize, Vec<u8>), Error> {
    let accepted = day.amount();
    let summaries = day.summaries().map_err(|reason| Error::Summary { date, reason })?;
    let written = money(summaries.iter().map(|summary| summary.cents).sum());
    if written != accepted {
        return Err(Error::NotConserved { date, accepted, written });
    }
    let file = encode(&summaries, catalog, run_id);
    let file = file.map_err(|error| Error::Summary { date, reason: error.to_string() })?;
    Ok((summaries.len(), file))
}

/// Reads the footer of a file that was just written.
async fn read_back(lake: &Lake, meta: ObjectMeta, wanted: usize) -> Result<(), Error> {
    let path = meta.path.clone();
    let found = match lake.file(meta).footer().await {
        Ok(footer) => footer.file_metadata().num_rows(),
        // Nobody else replaces it while the lease holds.
        Err(LakeError::Changed(_)) => 0,
        Err(error) => return Err(error.into()),
    };
    if usize::try_from(found) == Ok(wanted) { Ok(()) } else { Err(Error::ReadBack { path, found, wanted }) }
}

/// The file of a date.
pub fn path_of(date: NaiveDate) -> String {
    format!("{}/part-00000.parquet", date_folder(TXN_SUMMARY, "date", date))
}
