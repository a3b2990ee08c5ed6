//! Which dates have transactions.

use std::collections::BTreeSet;

use chrono::{Days, NaiveDate};
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
            // What is no date, such as a month zero, is passed by a day at a time.
            let date = first.get(..10).and_then(|date| date.parse().ok()).unwrap_or(next).max(next);
            if to.is_none_or(|to| date <= to) {
                dates.insert(date);
            }
            next = date + Days::new(1);
        }
        Ok(dates)
    }
}
