//! What a replay did.

use std::collections::BTreeMap;
use std::fmt;

use common::run::Exit;
use serde::Serialize;

use super::left::Fate;
use crate::commands::{Failed, Outcome};
use crate::transform::{Event, Malformed};

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
    /// Of them, those that are malformed for another reason than before, which they now show.
    pub other_reason: u64,
    /// Files of `events` that were written.
    pub files: u64,
    /// The longest time that a reader could see moved records in both outputs, in milliseconds.
    pub in_both_ms: u64,
    /// Partitions that were left as they were.
    pub failed: Vec<Failed>,
    /// A signal came before everything was tried.
    pub interrupted: bool,
}

impl Replayed {
    /// Nothing yet.
    #[must_use]
    pub fn of(topic: &str) -> Self {
        Self { topic: topic.to_owned(), ..Self::default() }
    }

    /// Counts a record that was malformed for the reason `was`, and tells what becomes of it.
    pub fn count(&mut self, was: &str, judged: &Result<Event<'_>, Malformed>) -> Fate {
        self.read += 1;
        let Err(malformed) = judged else {
            self.moved += 1;
            return Fate::Moves;
        };
        let now = malformed.reason.code();
        *self.still_malformed.entry(now.to_owned()).or_default() += 1;
        if now == was {
            return Fate::Stays;
        }
        self.other_reason += 1;
        Fate::OtherReason
    }

    /// Adds what was done elsewhere.
    pub fn add(&mut self, other: Self) {
        self.read += other.read;
        self.moved += other.moved;
        self.other_reason += other.other_reason;
        self.files += other.files;
        self.in_both_ms = self.in_both_ms.max(other.in_both_ms);
        for (reason, count) in other.still_malformed {
            *self.still_malformed.entry(reason).or_default() += count;
        }
    }
}

impl Outcome for Replayed {
    fn exit(&self) -> Exit {
        if self.failed.is_empty() { Exit::Done } else { Exit::Failed }
    }
}

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
        if self.other_reason > 0 {
            write!(f, "; {} show another reason than before", self.other_reason)?;
        }
        if self.interrupted {
            write!(f, "; stopped by a signal before everything was tried")?;
        }
        self.failed.iter().try_for_each(|failed| failed.fmt(f))
    }
}
