//! What a replay did.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::commands::Outcome;

/// Malformed records that were tried.
#[derive(Debug, Default, Serialize)]
pub struct Replayed {
    /// The topic's name.
    pub topic: String,
    /// Malformed records that were tried.
    pub read: u64,
    /// Of them, those that are in `events` now.
    pub moved: u64,
    /// Those that are not, by the reason that holds now.
    pub still_malformed: BTreeMap<String, u64>,
    /// Files of `events` that were written.
    pub files: u64,
    /// The longest time that a reader could see moved records in both outputs, in milliseconds.
    pub in_both_ms: u64,
}

impl Replayed {
    /// Nothing yet.
    #[must_use]
    pub fn of(topic: &str) -> Self {
        Self { topic: topic.to_owned(), ..Self::default() }
    }

    /// Adds what was done elsewhere.
    pub fn add(&mut self, other: Self) {
        self.read += other.read;
        self.moved += other.moved;
        self.files += other.files;
        self.in_both_ms = self.in_both_ms.max(other.in_both_ms);
        for (reason, count) in other.still_malformed {
            *self.still_malformed.entry(reason).or_default() += count;
        }
    }
}

impl Outcome for Replayed {}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} malformed records read, {} moved to events", self.topic, self.read, self.moved)?;
        if self.moved > 0 {
            write!(
                f,
                " in {} files; for at most {} ms they were in both outputs",
                self.files, self.in_both_ms
            )?;
        }
        for (reason, count) in &self.still_malformed {
            write!(f, "; {count} still {reason}")?;
        }
        Ok(())
    }
}
