//! Names: partitions, streams, files and state objects.

use std::fmt;
use std::sync::Arc;

use chrono::NaiveDate;
use common::lake::{EVENTS, EVENTS_MALFORMED, STATE, date_folder, date_of};
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
        FileName::parse(path).is_some_and(|name| name.place == *self)
    }

    /// The partition whose state object has this path, if it is one of `topic`.
    #[must_use]
    pub fn of_state(topic: &str, path: &str) -> Option<Self> {
        let name = path.strip_prefix(STATE)?.strip_prefix('/')?.strip_prefix(EVENTS)?.strip_prefix('/')?;
        let number = name.strip_suffix(".json")?.strip_prefix(topic)?.strip_prefix('-')?;
        let partition = digits(number).then(|| number.parse().ok()).flatten()?;
        Some(Self { topic: topic.into(), partition: PartitionId(partition) })
    }
}

/// What a data file's path says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    /// The partition that wrote it.
    pub place: Place,
    /// Which output.
    pub stream: Stream,
    /// Which date's folder.
    pub date: NaiveDate,
    /// Offset of its first record when it was begun.
    pub first_offset: i64,
    /// How often the topic had been made anew.
    pub generation: u32,
}

impl FileName {
    /// Reads a path as [`Place::file_path`] writes it; `None` for any other.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (folder, name) = path.rsplit_once('/')?;
        let stream = [Stream::Events, Stream::Malformed]
            .into_iter()
            .find(|stream| folder.split('/').next() == Some(stream.table()))?;
        let date = date_of(folder, stream.column())?;
        let stem = name.strip_suffix(".parquet")?;
        let (stem, generation) = match stem.rsplit_once("-g") {
            Some((before, generation)) if digits(generation) => (before, generation.parse().ok()?),
            _ => (stem, 0),
        };
        // From the right: a topic's name may hold `-` and digits too.
        let (owner, offset) =
            stem.rsplit_once('-').filter(|(_, offset)| offset.len() == 20 && digits(offset))?;
        let (topic, partition) = owner.rsplit_once('-').filter(|(_, partition)| digits(partition))?;
        let place = Place { topic: topic.into(), partition: PartitionId(partition.parse().ok()?) };
        Some(Self { place, stream, date, first_offset: offset.parse().ok()?, generation })
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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
                    let name = FileName { place: owner.clone(), stream, date, first_offset: 77, generation };
                    assert_eq!(FileName::parse(&path), Some(name));
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
    #[test]
    fn a_state_object_names_its_partition() {
        for owner in [place("a", 1), place("a-1", 10)] {
            assert_eq!(Place::of_state(&owner.topic, &owner.state_path()), Some(owner));
        }
        for other in
            ["_state/events/a-1-0.json", "_state/events/run_history-a.jsonl", "_state/events/a-x.json"]
        {
            assert_eq!(Place::of_state("a", other), None, "{other}");
        }
    }
}
