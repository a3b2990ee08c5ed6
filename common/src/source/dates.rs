//! Which dates have transactions.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, NaiveDate};
use sqlx::AssertSqlSafe;

use super::decode::SourceRow;
use super::{Source, SourceError, on_pool};

/// Before it no database that a pipeline reads can write a date.
const FIRST: NaiveDate = NaiveDate::from_ymd_opt(1, 1, 1).expect("the first day of year 1 is a date");

/// Sorts behind every date, as a text and as a time.
const END: &str = "9999-12-31";

impl Source {
    /// The UTC dates within these inclusive bounds that have transactions. Jumps along the index on
    /// `txn_timestamp`, so it takes a query a date, however many transactions there are.
    pub async fn dates(
        &self,
        from: Option<NaiveDate>,
        to: Option<NaiveDate>,
    ) -> Result<BTreeSet<NaiveDate>, SourceError> {
        let mut dates = BTreeSet::new();
        let mut next = from.unwrap_or(FIRST);
        while to.is_none_or(|to| next <= to) {
            let sql = format!(
                "SELECT CAST(MIN(txn_timestamp) AS CHAR) FROM transactions \
                 WHERE txn_timestamp >= '{next}' AND txn_timestamp < '{END}'"
            );
            let found = on_pool!(self, |pool, dialect| {
                let row = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_one(pool).await;
                row.map(|row| row.text(0))
            });
            let Some(first) = found.map_err(|error| self.fault("look for dates", error))? else { break };
            let day = first.get(..10).unwrap_or(&first);
            match day.parse::<NaiveDate>() {
                Ok(date) => {
                    if to.is_none_or(|to| date <= to) {
                        dates.insert(date.max(next));
                    }
                    next = date.max(next) + Days::new(1);
                }
                // By an index a TIMESTAMP of zero is found from any date before 1970, the first that it can hold.
                Err(_) if first < next.to_string() => {
                    next = (next + Days::new(1)).max(DateTime::UNIX_EPOCH.date_naive());
                }
                // What is no date, such as a month zero, sorts before the first of the month behind it.
                Err(_) => next = behind(day).filter(|behind| *behind > next).unwrap_or(next + Days::new(1)),
            }
        }
        Ok(dates)
    }
}

/// The first date that sorts behind a text like `2025-00-10` or `2025-03-00`.
fn behind(day: &str) -> Option<NaiveDate> {
    let mut parts = day.split('-').map(str::parse::<u32>);
    let (year, month) = (parts.next()?.ok()?, parts.next()?.ok()?);
    NaiveDate::from_ymd_opt(year.try_into().ok()?, month.max(1), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_date_is_passed_at_once() {
        for (text, date) in [("2025-00-10", "2025-01-01"), ("2025-03-00", "2025-03-01")] {
            assert_eq!(behind(text), date.parse().ok(), "{text}");
        }
        assert_eq!(behind("nonsense"), None);
    }
}
