//! Reads what has happened, and everything that was bought on the affected dates.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::NaiveDate;
use common::examine::{Examined, examine, read_catalog};
use common::increment::Increment;
use common::quality::{Catalog, Reason, Reasons, judge_transaction};
use common::schema::Transaction;
use common::source::{Part, Source, SourceError, SourceKeys};

use crate::config::{Config, DateRange, SummaryArgs};
use crate::error::Error;
use crate::transform::{Day, ROW_BYTES, differs_from_price};

/// Windows hold this share of `--max-memory`; the rest is for encoding, uploads and drivers.
const WINDOW_SHARE: u64 = 2;

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
    /// Dates that are in memory already: a first run whose table fits.
    read: Option<Window>,
    /// Dates to read, each with about how many rows it has; `None` until that was asked.
    waiting: Option<VecDeque<(NaiveDate, u64)>>,
}

/// The transactions of some dates; a date without any has lost its last one.
pub type Window = BTreeMap<NaiveDate, Day>;

/// Reads the increment. A first run whose table fits into memory reads it once.
pub async fn read(
    source: &Source,
    keys: SourceKeys,
    increment: &mut Increment,
    config: &Config,
) -> Result<Extracted, Error> {
    let catalog = read_catalog(source, keys).await?;
    let keep = increment.everything
        && increment.highest.0.saturating_mul(ROW_BYTES) <= budget_bytes(&config.summary);
    let (mut window, mut dates, mut warnings) = (Window::new(), BTreeSet::new(), BTreeMap::new());
    let mut too_large = None;
    let judged = |row: &Transaction| judge(row, &catalog, &config.summary);
    let examined = examine(source, increment, &catalog, &config.increment, judged, |row, verdict| {
        let Some(date) = row.at.map(|at| at.date_naive()) else { return };
        if verdict.affects() {
            dates.insert(date);
        }
        if keep && verdict.reasons.is_empty() {
            warn(row, &catalog, &mut warnings);
            if let Err(error) = window.entry(date).or_default().add(row, &catalog) {
                too_large.get_or_insert((date, error));
            }
        }
    })
    .await?;
    if let Some((date, reason)) = too_large {
        return Err(Error::Summary { date, reason });
    }
    Ok(Extracted {
        rows: examined.rows,
        examined,
        catalog: Arc::new(catalog),
        warnings,
        dates,
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

    /// Reads the next dates that fit into memory together; `None` when all were read.
    pub async fn next_window(
        &mut self,
        source: &Source,
        increment: &Increment,
        config: &Config,
    ) -> Result<Option<Window>, Error> {
        if let Some(window) = self.read.take() {
            self.waiting = Some(VecDeque::new());
            return Ok(Some(window));
        }
        let mut window = Window::new();
        for date in self.next_dates(source, increment, config).await? {
            window.insert(date, Day::default());
        }
        if window.is_empty() {
            return Ok(None);
        }
        let parts = window.keys().map(|date| Part::dates(*date, *date, increment.highest)).collect();
        let mut reader = source.read(parts, config.increment.read_connections);
        while let Some(batch) = reader.next().await? {
            self.rows += batch.rows.len() as u64;
            for row in &batch.rows {
                self.add_row(row, &mut window, config)?;
            }
        }
        Ok(Some(window))
    }

    fn add_row(&mut self, row: &Transaction, window: &mut Window, config: &Config) -> Result<(), Error> {
        let reasons = judge(row, &self.catalog, &config.summary);
        self.examined.met(row, reasons);
        if !reasons.is_empty() {
            return Ok(());
        }
        warn(row, &self.catalog, &mut self.warnings);
        let Some(date) = row.at.map(|at| at.date_naive()) else { return Ok(()) };
        let day = window.entry(date).or_default();
        day.add(row, &self.catalog).map_err(|reason| Error::Summary { date, reason })
    }

    async fn next_dates(
        &mut self,
        source: &Source,
        increment: &Increment,
        config: &Config,
    ) -> Result<Vec<NaiveDate>, SourceError> {
        if self.waiting.is_none() {
            let counts: BTreeMap<NaiveDate, u64> =
                source.count_by_date(&self.dates, increment.highest).await?;
            let rows = |date: &NaiveDate| counts.get(date).copied().unwrap_or_default();
            self.waiting = Some(self.dates.iter().map(|date| (*date, rows(date))).collect());
        }
        let waiting = self.waiting.get_or_insert_default();
        let (mut dates, mut left) = (Vec::new(), budget_bytes(&config.summary) / ROW_BYTES);
        while let Some((date, rows)) = waiting.front().copied() {
            if rows > left && !dates.is_empty() {
                break;
            }
            left = left.saturating_sub(rows);
            dates.push(date);
            waiting.pop_front();
        }
        Ok(dates)
    }
}

fn budget_bytes(settings: &SummaryArgs) -> u64 {
    settings.max_memory.0 / WINDOW_SHARE
}

/// All reasons for which a transaction is not accepted.
pub fn judge(row: &Transaction, catalog: &Catalog, settings: &SummaryArgs) -> Reasons {
    let mut reasons = judge_transaction(row, catalog);
    reasons.note(Reason::AmountMismatch, settings.strict_amounts && differs_from_price(row, catalog));
    reasons
}

fn warn(row: &Transaction, catalog: &Catalog, warnings: &mut BTreeMap<String, u64>) {
    if differs_from_price(row, catalog) {
        match warnings.get_mut(Reason::AmountMismatch.code()) {
            Some(count) => *count += 1,
            None => drop(warnings.insert(Reason::AmountMismatch.code().to_owned(), 1)),
        }
    }
}
