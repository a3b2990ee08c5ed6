//! Names: partitions, streams, files and state objects.

use std::fmt;
use std::sync::Arc;

use chrono::NaiveDate;
use common::lake::{EVENTS, EVENTS_MALFORMED, STATE, date_folder};
use serde::{Deserialize, Serialize};

/// A partition's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId(pub i32);

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: PartitionId,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition.0)
    }
}

/// One of the two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Events by the date of the event.
    Events,
    /// Malformed records by the date of their ingestion.
    Malformed,
}

impl Stream {
    /// The stream's folder.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::Events => EVENTS,
            Self::Malformed => EVENTS_MALFORMED,
        }
    }

    fn column(self) -> &'static str {
        match self {
            Self::Events => "event_date",
            Self::Malformed => "ingest_date",
        }
    }
}

impl Place {
    /// Path of the partition's state object.
    #[must_use]
    pub fn state_path(&self) -> String {
        format!("{STATE}/{EVENTS}/{self}.json")
    }

    /// Path of the data file that starts at `first_offset`. `generation` counts how often the topic was made
    /// anew, so that its files never have the names of the old topic's.
    #[must_use]
    pub fn file_path(&self, stream: Stream, date: NaiveDate, first_offset: i64, generation: u32) -> String {
        let folder = date_folder(stream.table(), stream.column(), date);
        match generation {
            0 => format!("{folder}/{self}-{first_offset:020}.parquet"),
            again => format!("{folder}/{self}-{first_offset:020}-g{again}.parquet"),
        }
    }

    /// Whether a data file's path is one of this partition.
    #[must_use]
    pub fn owns(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let Some(stem) = name.strip_suffix(".parquet") else { return false };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let stem = match stem.rsplit_once("-g") {
            Some((before, generation)) if digits(generation) => before,
            _ => stem,
        };
        // From the right: a topic's name may hold `-` and digits too.
        stem.rsplit_once('-')
            .is_some_and(|(owner, offset)| offset.len() == 20 && digits(offset) && owner == self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(topic: &str, partition: i32) -> Place {
        Place { topic: topic.into(), partition: PartitionId(partition) }
    }

    #[test]
    fn a_file_is_owned_by_the_partition_in_its_name_and_no_other() {
        let date = NaiveDate::from_ymd_opt(2026, 1, 2).unwrap();
        let places = [
            place("a", 1),
            place("a-1", 1),
            place("a-1", 0),
            place("a", 11),
            place("a-g1", 1),
            place("1", 1),
        ];
        for owner in &places {
            for stream in [Stream::Events, Stream::Malformed] {
                for generation in [0, 3] {
                    let path = owner.file_path(stream, date, 77, generation);
                    for other in &places {
                        assert_eq!(other.owns(&path), other == owner, "{other} {path}");
                    }
                }
            }
        }
        assert_eq!(
            place("a-1", 0).file_path(Stream::Events, date, 77, 0),
            "events/event_date=2026-01-02/a-1-0-00000000000000000077.parquet"
        );
        assert!(!place("a", 1).owns("events/event_date=2026-01-02/part-0.parquet"));
    }
}
