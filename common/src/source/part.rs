//! Parts of `transactions`, each for one query.

use chrono::{Datelike, Days, NaiveDate};

use super::CustomerRange;
use super::tables::{KEYS_PER_QUERY, list};
use crate::partitioning::{IdRange, read_partitions, split_ids};
use crate::schema::{CustomerId, TxnId};

/// Last year of the databases' dates.
const LAST_YEAR: i32 = 9999;

/// Keys in a list that rows are compared with; from 1,000 on `MariaDB` makes a table of them and joins it.
const KEYS_PER_FILTER: usize = 999;

/// Lists that rows are compared with at most: eight double the server's work for a row, and sending and decoding one
/// that is not needed costs more than that.
const MOST_FILTERS: usize = 8;

/// A scan's customer: an expression, so that the index on `customer_id` does not tempt the optimizer away from the ids.
const SCANNED: &str = "customer_id + 0";

/// Ranges in one query.
const RANGES_PER_QUERY: usize = 100;

/// A part of `transactions` that one query reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part(String);

impl Part {
    /// A range of ids, ascending.
    #[must_use]
    pub fn ids(range: IdRange) -> Self {
        let IdRange { start, end, inclusive } = range;
        let until = if inclusive { "<=" } else { "<" };
        Self(format!("txn_id >= {start} AND txn_id {until} {end} ORDER BY txn_id"))
    }

    /// The ids above `after` up to `last`, in as many parts as a read should have.
    #[must_use]
    pub fn ids_between(after: TxnId, last: TxnId, configured_partitions: u64) -> Vec<Self> {
        let span = last.0.saturating_sub(after.0);
        let ranges =
            split_ids(after.0.saturating_add(1), last.0, read_partitions(span, configured_partitions));
        ranges.into_iter().map(Self::ids).collect()
    }

    /// All ids up to `last`, in as many parts as a read should have; of their rows those of `customers`, which are
    /// ascending, and perhaps some more: the server looks each row's customer up only where that is cheap.
    #[must_use]
    pub fn scan(customers: &[CustomerId], last: TxnId, configured_partitions: u64) -> Vec<Self> {
        let filter = match customers {
            [first, .., until] if customers.len() > MOST_FILTERS * KEYS_PER_FILTER => {
                format!("{SCANNED} BETWEEN {first} AND {until}")
            }
            _ => {
                let lists = customers.chunks(KEYS_PER_FILTER);
                lists.map(|ids| format!("{SCANNED} IN ({})", list(ids))).collect::<Vec<_>>().join(" OR ")
            }
        };
        Self::filtered_scan(&filter, last, configured_partitions)
    }

    /// The same of a range of customers.
    #[must_use]
    pub fn scan_range(range: CustomerRange, last: TxnId, configured_partitions: u64) -> Vec<Self> {
        Self::filtered_scan(&range.condition(SCANNED), last, configured_partitions)
    }

    fn filtered_scan(filter: &str, last: TxnId, configured_partitions: u64) -> Vec<Self> {
        let parts = Self::ids_between(TxnId(0), last, configured_partitions);
        parts.into_iter().map(|part| Self(format!("({filter}) AND {}", part.condition()))).collect()
    }

    /// Several short ranges of ids, ascending; a part holds a hundred.
    #[must_use]
    pub fn id_ranges(ranges: &[(u64, u64)]) -> Vec<Self> {
        ranges
            .chunks(RANGES_PER_QUERY)
            .map(|ranges| {
                let any: Vec<String> =
                    ranges.iter().map(|(first, last)| format!("txn_id BETWEEN {first} AND {last}")).collect();
                Self(format!("({}) ORDER BY txn_id", any.join(" OR ")))
            })
            .collect()
    }

    /// Single ids, ascending; a part a thousand.
    #[must_use]
    pub fn single_ids(ids: &[TxnId]) -> Vec<Self> {
        ids.chunks(KEYS_PER_QUERY)
            .map(|ids| Self(format!("txn_id IN ({}) ORDER BY txn_id", list(ids))))
            .collect()
    }

    /// All transactions of these customers up to `last`; a part a thousand customers.
    #[must_use]
    pub fn customers(ids: &[CustomerId], last: TxnId) -> Vec<Self> {
        ids.chunks(KEYS_PER_QUERY)
            .map(|ids| Self(format!("customer_id IN ({}) AND txn_id BETWEEN 1 AND {last}", list(ids))))
            .collect()
    }

    /// All transactions of a range of customers up to `last`, by the index.
    #[must_use]
    pub fn customer_range(range: CustomerRange, last: TxnId) -> Self {
        Self(format!("{} AND txn_id BETWEEN 1 AND {last}", range.condition("customer_id")))
    }

    /// All transactions of the UTC days `first..=last_day` up to `last`.
    #[must_use]
    pub fn dates(first: NaiveDate, last_day: NaiveDate, last: TxnId) -> Self {
        // Behind the last day that a database can write there is nothing to leave out.
        let end = last_day.checked_add_days(Days::new(1)).filter(|end| end.year() <= LAST_YEAR);
        let before_end = end.map(|end| format!(" AND txn_timestamp < '{end}'")).unwrap_or_default();
        Self(format!("txn_timestamp >= '{first}'{before_end} AND txn_id BETWEEN 1 AND {last}"))
    }

    /// Those of a UTC date of a range of customers. Rows without a customer belong to the range without a beginning.
    #[must_use]
    pub fn slice_of_date(date: NaiveDate, range: CustomerRange, last: TxnId) -> Self {
        let nobody = if range.after.is_none() { "customer_id IS NULL OR " } else { "" };
        let customers = range.condition("customer_id");
        Self(format!("{} AND ({nobody}{customers})", Self::dates(date, date, last).0))
    }

    /// What stands behind `WHERE`.
    pub(super) fn condition(&self) -> &str {
        &self.0
    }
}
