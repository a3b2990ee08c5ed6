//! Settings of pipeline B.

use std::str::FromStr;

use chrono::NaiveDate;
use clap::{Args, Parser};
use common::settings::{IncrementArgs, LakeArgs, MemoryArgs, RecomputeArgs, RunArgs, SourceArgs};
use common::telemetry::TelemetryArgs;

/// Dates that one run can be asked for.
const MOST_DATES: i64 = 36_525;

/// Daily summaries: reads new transactions from MySQL, recomputes the summaries of the days they belong to and
/// replaces one Parquet file a day in the lake.
///
/// Exit codes: 0 done, 1 failed (safe to run again), 2 bad settings, 3 refused by a quality gate, 4 another run
/// holds the lock.
#[derive(Debug, Clone, Parser)]
#[command(name = "pipeline-b", version, max_term_width = 100)]
pub struct Config {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub source: SourceArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub lake: LakeArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub increment: IncrementArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub recompute: RecomputeArgs,
    /// Recompute these UTC dates too, e.g. `2025-10-01..2025-10-31`, both inclusive: a correction of old rows does
    /// not move an id
    #[arg(long, value_name = "DATE..DATE", conflicts_with = "every")]
    pub dates: Option<DateRange>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub memory: MemoryArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub summary: SummaryArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub run: RunArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub telemetry: TelemetryArgs,
}

/// UTC dates, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateRange {
    /// The first date.
    pub first: NaiveDate,
    /// The last date, not before the first.
    pub last: NaiveDate,
}

impl DateRange {
    /// Its dates, ascending.
    pub fn dates(self) -> impl Iterator<Item = NaiveDate> {
        self.first.iter_days().take_while(move |date| *date <= self.last)
    }

    /// Whether `date` is one of them.
    #[must_use]
    pub fn contains(self, date: NaiveDate) -> bool {
        (self.first..=self.last).contains(&date)
    }
}

impl FromStr for DateRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let date =
            |text: &str| text.trim().parse::<NaiveDate>().map_err(|_| format!("{text:?} is not a date"));
        let range = Self { first: date(first)?, last: date(last)? };
        match (range.last - range.first).num_days() {
            ..0 => Err("ends before it begins".to_owned()),
            MOST_DATES.. => Err("is longer than a hundred years".to_owned()),
            _ => Ok(range),
        }
    }
}

/// How pipeline B sums up days.
#[derive(Debug, Clone, Default, Args)]
pub struct SummaryArgs {
    /// Reject a transaction whose amount is not qty × price, instead of counting a warning
    #[arg(long, env = "STRICT_AMOUNTS", value_parser = clap::builder::FalseyValueParser::new())]
    pub strict_amounts: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_a_range_with_both_ends_or_a_single_one() {
        let range: DateRange = "2025-02-27..2025-03-01".parse().unwrap();
        let dates: Vec<String> = range.dates().map(|date| date.to_string()).collect();
        assert_eq!(dates, ["2025-02-27", "2025-02-28", "2025-03-01"]);
        assert_eq!("2025-02-27".parse::<DateRange>().unwrap().dates().count(), 1);
        for bad in ["", "2025-02-30", "2025-03-01..2025-02-27", "0001-01-01..9999-12-31", "..2025-01-01"] {
            assert!(bad.parse::<DateRange>().is_err(), "{bad}");
        }
    }
}
