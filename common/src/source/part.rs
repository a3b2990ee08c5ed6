//! Parts of `transactions`, each for one query.

use chrono::{Datelike, Days, NaiveDate};

use super::tables::{KEYS_PER_QUERY, list};
use crate::partitioning::{IdRange, read_partitions, split_ids};
use crate::schema::{CustomerId, TxnId};

/// Last year of the databases' dates.
const LAST_YEAR: i32 = 9999;

/// Keys in a list that rows are compared with; from 1,000 on `MariaDB` makes a table of them and joins it.
const KEYS_PER_FILTER: usize = 999;

/// Lists that rows are compared with at most. Measured: eight double the server's work for a row; sending and decoding
/// one that is not needed costs more than that.
const MOST_FILTERS: usize = 8;

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

    /// All ids up to `last`, in as many parts as a read should have. If `customers` are few enough for the server to
    /// look each row's up, only theirs.
    #[must_use]
    pub fn scan(customers: &[CustomerId], last: TxnId, configured_partitions: u64) -> Vec<Self> {
        let lists: Vec<String> = customers
            .chunks(KEYS_PER_FILTER)
            // An expression, so that the index on customer_id does not tempt the optimizer away from the range of ids.
            .map(|customers| format!("customer_id + 0 IN ({})", list(customers)))
            .collect();
        let filter = match lists.len() {
            1..=MOST_FILTERS => format!("({}) AND ", lists.join(" OR ")),
            _ => String::new(),
        };
        let parts = Self::ids_between(TxnId(0), last, configured_partitions);
        parts.into_iter().map(|part| Self(filter.clone() + part.condition())).collect()
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

    /// All transactions of the UTC days `first..=last_day` up to `last`.
    #[must_use]
    pub fn dates(first: NaiveDate, last_day: NaiveDate, last: TxnId) -> Self {
        // Behind the last day that a database can write there is nothing to leave out.
        let end = last_day.checked_add_days(Days::new(1)).filter(|end| end.year() <= LAST_YEAR);
        let before_end = end.map(|end| format!(" AND txn_timestamp < '{end}'")).unwrap_or_default();
        Self(format!("txn_timestamp >= '{first}'{before_end} AND txn_id BETWEEN 1 AND {last}"))
    }

    /// Those of a UTC date whose customer is above `after` and not above `until`. Without `after` it is the first
    /// slice, to which rows without a customer belong; without `until` the last.
    #[must_use]
    pub fn slice_of_date(
        date: NaiveDate,
        (after, until): (Option<CustomerId>, Option<CustomerId>),
        last: TxnId,
    ) -> Self {
        let above = after.map(|after| format!(" AND customer_id > {after}")).unwrap_or_default();
        let up_to = match (after, until) {
            (_, None) => String::new(),
            (None, Some(until)) => format!(" AND (customer_id IS NULL OR customer_id <= {until})"),
            (Some(_), Some(until)) => format!(" AND customer_id <= {until}"),
        };
        Self(Self::dates(date, date, last).0 + &above + &up_to)
    }

    /// What stands behind `WHERE`.
    pub(super) fn condition(&self) -> &str {
        &self.0
    }
}
