//! What a compaction did.

use std::fmt;

use common::run::Exit;
use serde::Serialize;

use crate::commands::{Failed, Outcome};

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
    /// Partitions that were left as they were.
    pub failed: Vec<Failed>,
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

impl Outcome for Compacted {
    fn exit(&self) -> Exit {
        if self.failed.is_empty() { Exit::Done } else { Exit::Failed }
    }
}

impl fmt::Display for Compacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, merged, written, in_both_ms, failed, interrupted } = self;
        if *merged > 0 {
            write!(
                f,
                "{topic}: {merged} files merged into {written}; for at most {in_both_ms} ms readers could see rows twice"
            )?;
        } else {
            write!(f, "{topic}: nothing merged")?;
        }
        if *interrupted {
            write!(f, "; stopped by a signal before everything was")?;
        }
        failed.iter().try_for_each(|failed| failed.fmt(f))
    }
}
