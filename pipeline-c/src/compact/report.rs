//! What a compaction did.

use std::fmt;

use serde::Serialize;

use crate::commands::Outcome;

/// Files that were merged.
#[derive(Debug, Default, Serialize)]
pub struct Compacted {
    /// The topic's name.
    pub topic: String,
    /// Files that were read.
    pub merged: u64,
    /// Files that hold their rows now.
    pub written: u64,
    /// The longest time that a reader could see rows twice, in milliseconds.
    pub in_both_ms: u64,
    /// A signal came before everything was merged.
    pub interrupted: bool,
}

impl Compacted {
    /// Nothing yet.
    #[must_use]
    pub fn of(topic: &str) -> Self {
        Self { topic: topic.to_owned(), ..Self::default() }
    }
}

impl Outcome for Compacted {}

impl fmt::Display for Compacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, merged, written, in_both_ms, interrupted } = self;
        if *merged > 0 {
            write!(
                f,
                "{topic}: {merged} files merged into {written}; for at most {in_both_ms} ms readers could see rows twice"
            )?;
        } else if !interrupted {
            return write!(f, "{topic}: nothing to merge");
        }
        if *interrupted {
            write!(f, "{topic}: stopped by a signal before everything was merged")?;
        }
        Ok(())
    }
}
