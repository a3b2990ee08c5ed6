//! Reads what has happened, and everything that was bought on the affected dates.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::NaiveDate;
use common::batch::BatchError;
use common::examine::{Examined, Look, examine, read_catalog};
use common::increment::Increment;
use common::quality::{Catalog, Reason, Reasons, judge_transaction};
use common::schema::Transaction;
use common::source::{Source, SourceError, SourceKeys};

use crate::config::{Config, DateRange, SummaryArgs};
use crate::transform::{Day, differs_from_price};
use crate::window::{Window, rows_that_fit};

/// What a batch has read, and what it still has to read.
#[derive(Debug, Default)]
pub struct Extracted {
    /// The increment's rows, judged, and what the recomputation found to reject besides.
    pub examined: Examined,
    /// What transactions refer to.
    pub catalog: Arc<Catalog>,
    /// Rows read in all.
    pub rows: u64,
    /// Warning → how often, over the recomputed dates.
    pub warnings: BTreeMap<String, u64>,
    /// Every date that is recomputed.
    pub dates: BTreeSet<NaiveDate>,
    /// How many transactions each date has, where the whole table was read.
    pub(crate) counts: Option<BTreeMap<NaiveDate, u64>>,
    /// Dates that are in memory already: a first run whose table fits.
    pub(crate) read: Option<Window>,
    /// Dates to read, each with about how many rows it has; `None` until that was asked.
    pub(crate) waiting: Option<VecDeque<(NaiveDate, u64)>>,
}

/// Reads the increment. A first run whose table fits into memory reads it once.
pub async fn read(
    source: &Source,
    keys: SourceKeys,
    increment: &mut Increment,
    config: &Config,
) -> Result<Extracted, BatchError> {
    let catalog = read_catalog(source, keys).await?;
    let keep = increment.everything && increment.highest.0 <= rows_that_fit(config.memory.max_memory);
    let (mut window, mut counts, mut warnings) = (Window::new(), BTreeMap::new(), BTreeMap::new());
    let judge = |row: &Transaction| judge(row, &catalog, &config.summary);
    let look = Look { catalog: &catalog, settings: &config.increment, judge, again: !keep };
    let examined = examine(source, increment, look, |row, verdict| {
        let Some(date) = row.at.map(|at| at.date_naive()) else { return };
        if verdict.affects() {
            *counts.entry(date).or_default() += 1;
        }
        if keep && verdict.reasons.is_empty() {
            warn(row, &catalog, &mut warnings);
            window.entry(date).or_default().add(row, &catalog);
        }
    })
    .await?;
    Ok(Extracted {
        rows: examined.rows,
        examined,
        catalog: Arc::new(catalog),
        warnings,
        dates: counts.keys().copied().collect(),
        counts: increment.everything.then_some(counts),
        read: keep.then_some(window),
        waiting: None,
    })
}

impl Extracted {
    /// Nothing read yet; [`Extracted::add`] says which dates are to be.
    #[must_use]
    pub fn of(catalog: Arc<Catalog>) -> Self {
        Self { catalog, ..Self::default() }
    }

    /// Whether the batch has nothing new to say.
    #[must_use]
    pub fn changes_nothing(&self, increment: &Increment) -> bool {
        let news = self.examined.entries().any(|entry| increment.is_news(entry));
        self.examined.new_rows == 0 && self.dates.is_empty() && self.examined.corrected.is_empty() && !news
    }

    /// Whether the lake is needed.
    #[must_use]
    pub fn affects_dates(&self) -> bool {
        !self.dates.is_empty() || self.read.is_some()
    }

    /// Adds the dates that nothing new asks for: in a run over everything those that have a file, which may have
    /// lost its last transaction, otherwise the `asked` ones that have a file or a transaction.
    pub async fn add_asked(
        &mut self,
        source: &Source,
        increment: &Increment,
        files: impl Iterator<Item = NaiveDate>,
        asked: Option<DateRange>,
    ) -> Result<(), SourceError> {
        let wanted =
            |date: &NaiveDate| increment.everything || asked.is_some_and(|asked| asked.contains(*date));
        let mut added: BTreeSet<NaiveDate> = files.filter(wanted).collect();
        if let Some(asked) = asked.filter(|_| !increment.everything) {
            added
                .extend(source.count_by_date(&asked.dates().collect(), increment.highest).await?.into_keys());
        }
        self.add(added);
        Ok(())
    }

    /// Adds dates.
    pub fn add(&mut self, dates: BTreeSet<NaiveDate>) {
        for date in dates {
            if self.dates.insert(date)
                && let Some(window) = &mut self.read
            {
                window.insert(date, Day::default());
            }
        }
    }
}

pub(crate) fn judge(row: &Transaction, catalog: &Catalog, settings: &SummaryArgs) -> Reasons {
    let mut reasons = judge_transaction(row, catalog);
    reasons.note(Reason::AmountMismatch, settings.strict_amounts && differs_from_price(row, catalog));
    reasons
}

pub(crate) fn warn(row: &Transaction, catalog: &Catalog, warnings: &mut BTreeMap<String, u64>) {
    if differs_from_price(row, catalog) {
        match warnings.get_mut(Reason::AmountMismatch.code()) {
            Some(count) => *count += 1,
            None => drop(warnings.insert(Reason::AmountMismatch.code().to_owned(), 1)),
        }
    }
}
