//! Windows of dates that are summed up together, so that `--max-memory` bounds the job and not the table's size.

use std::collections::{BTreeMap, VecDeque};

use chrono::NaiveDate;
use common::increment::Increment;
use common::schema::Transaction;
use common::settings::ByteSize;
use common::source::{CustomerRange, Part, Source, SourceError};

use crate::config::Config;
use crate::extract::{Extracted, judge, warn};
use crate::transform::{Day, ROW_BYTES};

/// What the program takes beside windows: drivers, what transactions refer to, files on their way. An estimate.
const BESIDES_BYTES: u64 = 48 << 20;

/// Windows hold this share of the rest, since their dates are encoded while others still wait for it.
const WINDOW_SHARE: u64 = 2;

/// Of several windows each has this many quarters of what one alone may have: what a window frees does not quite fit
/// the next one.
const QUARTERS_OF_SEVERAL: u64 = 3;

/// A window has this many rows at least, however little memory there is.
const FEWEST_ROWS: u64 = 256;

/// The transactions of some dates; a date without any has lost its last one.
pub type Window = BTreeMap<NaiveDate, Day>;

/// How many transactions a window may hold.
#[must_use]
pub fn rows_that_fit(max_memory: ByteSize) -> u64 {
    (max_memory.0.saturating_sub(BESIDES_BYTES) / WINDOW_SHARE / ROW_BYTES).max(FEWEST_ROWS)
}

impl Extracted {
    /// Reads the next dates that fit into memory together; `None` when all were read. A date that does not fit
    /// alone is read by ranges of customers, each summed up before the next.
    pub async fn next_window(
        &mut self,
        source: &Source,
        increment: &Increment,
        config: &Config,
    ) -> Result<Option<Window>, SourceError> {
        if let Some(window) = self.read.take() {
            self.waiting = Some(VecDeque::new());
            return Ok(Some(window));
        }
        let fit = rows_that_fit(config.memory.max_memory) / 4 * QUARTERS_OF_SEVERAL;
        let last = increment.highest;
        let dates = self.next_dates(source, increment, fit).await?;
        let mut window: Window =
            dates.iter().map(|(date, rows)| (*date, Day::for_rows((*rows).min(fit)))).collect();
        match dates[..] {
            [] => return Ok(None),
            [(date, rows)] if rows > fit => {
                for customers in CustomerRange::split(&source.count_by_customer(date, last).await?, fit) {
                    let part = Part::slice_of_date(date, customers, last);
                    self.read_into(&mut window, source, vec![part], config).await?;
                    let day = window.entry(date).or_default();
                    day.condense();
                }
            }
            _ => {
                let parts = dates.iter().map(|(date, _)| Part::dates(*date, *date, last)).collect();
                self.read_into(&mut window, source, parts, config).await?;
            }
        }
        Ok(Some(window))
    }

    async fn read_into(
        &mut self,
        window: &mut Window,
        source: &Source,
        parts: Vec<Part>,
        config: &Config,
    ) -> Result<(), SourceError> {
        let mut reader = source.read(parts, config.increment.read_connections);
        while let Some(batch) = reader.next().await? {
            self.rows += batch.rows.len() as u64;
            for row in &batch.rows {
                self.add_row(row, window, config);
            }
        }
        Ok(())
    }

    fn add_row(&mut self, row: &Transaction, window: &mut Window, config: &Config) {
        let reasons = judge(row, &self.catalog, &config.summary);
        self.examined.met(row, reasons);
        if let Some(at) = row.at.filter(|_| reasons.is_empty()) {
            warn(row, &self.catalog, &mut self.warnings);
            window.entry(at.date_naive()).or_default().add(row, &self.catalog);
        }
    }

    async fn next_dates(
        &mut self,
        source: &Source,
        increment: &Increment,
        fit: u64,
    ) -> Result<Vec<(NaiveDate, u64)>, SourceError> {
        if self.waiting.is_none() {
            let counts = match self.counts.take() {
                Some(counts) => counts,
                None => source.count_by_date(&self.dates, increment.highest).await?,
            };
            let rows = |date: &NaiveDate| counts.get(date).copied().unwrap_or_default();
            self.waiting = Some(self.dates.iter().map(|date| (*date, rows(date))).collect());
        }
        let waiting = self.waiting.get_or_insert_default();
        let (mut dates, mut left) = (Vec::new(), fit);
        while let Some((date, rows)) = waiting.front().copied() {
            if rows > left && !dates.is_empty() {
                break;
            }
            left = left.saturating_sub(rows);
            dates.push((date, rows));
            waiting.pop_front();
        }
        Ok(dates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_leaves_memory_for_the_rest_of_the_program() {
        assert_eq!(rows_that_fit(ByteSize::mib(256)), 104 * 1024 * 1024 / ROW_BYTES);
        assert_eq!(rows_that_fit(ByteSize::mib(1)), FEWEST_ROWS);
    }
}
