//! Hashes of contents: of what a record should become, and of a row.

use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::NaiveDate;

use super::table::RowHash;

/// The content of a row of `events`, but for its time of ingestion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventContent<'a> {
    /// The folder's date.
    pub date: NaiveDate,
    /// The row's id.
    pub event_id: &'a str,
    /// Who acted.
    pub customer_id: i32,
    /// What happened.
    pub event_type: &'a str,
    /// The product acted on.
    pub product_id: Option<i32>,
    /// Microseconds since 1970.
    pub event_timestamp: i64,
}

/// The content of a row of `events_malformed`, but for the reason and its time of ingestion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MalformedContent<'a> {
    /// The record's offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; that of a tombstone is empty.
    pub value: &'a [u8],
}

/// 128 bits of two hashes with different beginnings. It is the same within a process only.
pub fn of(content: &impl Hash) -> RowHash {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        content.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    RowHash(half(1) << 64 | half(2))
}
