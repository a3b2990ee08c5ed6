//! A partition's state object: which records are in which files. Pure; `ledger` keeps it in the lake.

use chrono::{DateTime, NaiveDate, Utc};
use common::lake::{Expect, Staged, Version};
use serde::{Deserialize, Serialize};

use crate::config::TailMode;
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::place::{PartitionId, Place, Stream};

/// Version of the state object's form.
pub const STATE_VERSION: u64 = 1;

/// Open tails that are remembered, the latest. Older dates that still get a row get a new file for it.
const MOST_TAILS: usize = 256;

/// The state object of one partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Form of this object.
    pub version: u64,
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: PartitionId,
    /// How often the topic was made anew.
    #[serde(default)]
    pub generation: u32,
    /// Counts the owners: who holds a lower one is fenced.
    pub epoch: u64,
    /// The owner, for people.
    pub owner: String,
    /// Unique for each content of this object, so that a write whose answer was lost can be told.
    pub commit: String,
    /// The owner has lost a commit to a command that moved rows, and writes next: commands wait for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owners_turn: bool,
    /// When this content was written.
    pub committed_at: DateTime<Utc>,
    /// Counts the flushes.
    pub flush: u64,
    /// Every record below it is in a file that is visible or pending, or in `lost`.
    pub next_offset: i64,
    /// Offsets that Kafka deleted before they were read, and that were given up.
    #[serde(default)]
    pub lost: Vec<Lost>,
    /// Files that were gone before they were visible, and that were given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost_files: Vec<LostFile>,
    /// Where the last batch began, while its files are pending: it can be undone until one of them is visible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// Newest files of their dates, to be rewritten by the next rows of these dates.
    pub tails: Vec<Tail>,
    /// The last record that was read: who finds another one at its offset reads another topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_record: Option<Fingerprint>,
    /// Files that were staged and belong to this content: they are published by whoever reads it.
    pub pending: Vec<Pending>,
    /// Files that are published after them: what is left where rows have moved from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending_then: Vec<Pending>,
    /// Files that are removed after that: all of their rows are in pending ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removals: Vec<Removal>,
}

/// Offsets from `from` to before `to` that were given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// First offset.
    pub from: i64,
    /// The first offset behind them.
    pub to: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// A file that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostFile {
    /// What it held. Rows of the file that it was to replace may be among them, which are visible still.
    #[serde(flatten)]
    pub file: DataFile,
    /// When.
    pub at: DateTime<Utc>,
}

/// What a batch was committed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The next offset then.
    pub next_offset: i64,
    /// The last record that was read then.
    pub last_record: Option<Fingerprint>,
}

/// A data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Path in the lake.
    pub path: String,
    /// Which output.
    pub stream: Stream,
    /// Which date's folder.
    pub date: NaiveDate,
    /// Offset of its first record; the name holds it.
    pub first_offset: i64,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Rows in it.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// The flush that wrote it last.
    pub flush: u64,
    /// The topic's generation whose records it holds.
    #[serde(default)]
    pub generation: u32,
}

/// A visible file that may be rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// The file.
    #[serde(flatten)]
    pub file: DataFile,
    /// Its content.
    pub object: Version,
}

/// A file that is to become visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The file.
    #[serde(flatten)]
    pub file: DataFile,
    /// What was staged for it.
    pub staged: Staged,
    /// What it replaces.
    pub expect: Expect,
    /// Takes no more rows, so it does not become its date's tail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// Its content once it is visible. Known only then, so it is written with the next commit.
    #[serde(skip)]
    pub published: Option<Version>,
}

/// A file that is to disappear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Path in the lake.
    pub path: String,
    /// The content that is removed, and no other.
    pub object: Version,
    /// Whether it is gone.
    #[serde(skip)]
    pub removed: bool,
}

/// Which files stay open for rewriting.
#[derive(Debug, Clone, Copy)]
pub struct TailRule {
    /// Whether any does.
    pub mode: TailMode,
    /// A file of this size is sealed.
    pub target_bytes: u64,
}

impl State {
    /// The state of a partition that was never read.
    #[must_use]
    pub fn fresh(place: &Place, next_offset: i64, at: DateTime<Utc>) -> Self {
        Self {
            version: STATE_VERSION,
            topic: place.topic.to_string(),
            partition: place.partition,
            generation: 0,
            epoch: 0,
            owner: String::new(),
            commit: String::new(),
            owners_turn: false,
            committed_at: at,
            flush: 0,
            next_offset,
            lost: Vec::new(),
            lost_files: Vec::new(),
            before: None,
            tails: Vec::new(),
            last_record: None,
            pending: Vec::new(),
            pending_then: Vec::new(),
            removals: Vec::new(),
        }
    }

    /// Reads a partition's state object. One of another partition, or that cannot be true, is damaged.
    pub fn parse(place: &Place, json: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Form {
            version: u64,
        }
        let path = place.state_path();
        let damaged = |reason: String| Error::StateDamaged { path: path.clone(), reason };
        let unreadable = |error: serde_json::Error| damaged(error.to_string());
        let Form { version } = serde_json::from_slice(json).map_err(unreadable)?;
        if version != STATE_VERSION {
            return Err(Error::StateVersion { path, found: version, known: STATE_VERSION });
        }
        let state: Self = serde_json::from_slice(json).map_err(unreadable)?;
        state.contradiction(place).map_or(Ok(state), |reason| Err(damaged(reason)))
    }

    /// What cannot be true of a partition's state.
    fn contradiction(&self, place: &Place) -> Option<String> {
        if (&*self.topic, self.partition) != (&*place.topic, place.partition) {
            return Some(format!("it is the state of {}-{}", self.topic, self.partition.0));
        }
        if self.next_offset < 0 {
            return Some(format!("its next offset is {}", self.next_offset));
        }
        if let Some(last) = self.last_record.as_ref().map(|last| last.offset)
            && !(0..self.next_offset).contains(&last)
        {
            return Some(format!("its last record has offset {last}, and {} is next", self.next_offset));
        }
        if let Some(lost) = self.lost.iter().find(|lost| lost.from < 0 || lost.to < lost.from) {
            return Some(format!("it says that the offsets from {} to {} were lost", lost.from, lost.to));
        }
        let tails = self.tails.iter().map(|tail| &tail.file);
        let mut files = tails.chain(self.all_pending().map(|pending| &pending.file));
        let other = files.find(|file| file.first_offset.min(file.last_offset) < 0 || !place.owns(&file.path));
        let other = other.map(|file| (&file.path, file.first_offset, file.last_offset));
        other.map(|(path, first, last)| format!("it names {path} with the offsets {first} to {last}"))
    }

    /// The object's content.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a state has only string keys")
    }

    /// The file that new rows of this date are to be added to.
    #[must_use]
    pub fn open_tail(&self, stream: Stream, date: NaiveDate) -> Option<&Tail> {
        self.tails.iter().find(|tail| tail.file.stream == stream && tail.file.date == date)
    }

    /// Every file that is to become visible.
    pub fn all_pending(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter().chain(&self.pending_then)
    }

    /// The topic is another one, to be read from its beginning. Pending files of the old topic are published as
    /// ever, and with the next commit its tails are closed.
    pub fn restart(&mut self, log_start: i64) {
        self.generation += 1;
        self.next_offset = log_start;
        self.last_record = None;
    }

    /// Whether both are of one owner: no instance has claimed the partition between them.
    #[must_use]
    pub fn has_owner_of(&self, other: &Self) -> bool {
        (self.epoch, &self.owner) == (other.epoch, &other.owner)
    }

    /// Whether what is pending are rows that change files, not a batch.
    #[must_use]
    pub fn is_move(&self) -> bool {
        !self.pending_then.is_empty()
            || !self.removals.is_empty()
            || self.pending.iter().any(|pending| pending.closed)
    }

    /// Whether something is to be published or removed, or was since the last commit.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.all_pending().next().is_some() || !self.removals.is_empty()
    }

    /// Whether readers may not see all of this state's files yet, and only those.
    #[must_use]
    pub fn unpublished(&self) -> bool {
        self.all_pending().any(|pending| pending.published.is_none())
            || self.removals.iter().any(|removal| !removal.removed)
    }

    /// What is pending becomes tails, when all of it is visible; the content is committed later.
    pub fn settle(&mut self, rule: TailRule) {
        debug_assert!(!self.unpublished(), "only visible files become tails");
        self.before = None;
        let pending = [std::mem::take(&mut self.pending), std::mem::take(&mut self.pending_then)].concat();
        for Pending { file, published, closed, .. } in pending {
            let Some(object) = published else { continue };
            if let Some(tail) = self.tails.iter_mut().find(|tail| tail.file.path == file.path) {
                *tail = Tail { file, object };
            } else if !closed {
                self.tails.retain(|tail| (tail.file.stream, tail.file.date) != (file.stream, file.date));
                self.tails.push(Tail { file, object });
            }
        }
        for Removal { path, .. } in std::mem::take(&mut self.removals) {
            self.tails.retain(|tail| tail.file.path != path);
        }
        let generation = self.generation;
        self.tails.retain(|Tail { file, .. }| {
            rule.mode == TailMode::Rewrite && file.bytes < rule.target_bytes && file.generation == generation
        });
        // The latest stay; among equals the order is that of their files, so that the object is the same each time.
        self.tails
            .sort_by(|a, b| b.file.flush.cmp(&a.file.flush).then_with(|| a.file.path.cmp(&b.file.path)));
        self.tails.truncate(MOST_TAILS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn file(day: u32, first_offset: i64, bytes: u64, flush: u64) -> DataFile {
        let date = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap() + chrono::Days::new(u64::from(day));
        let path = format!("events/event_date={date}/t-0-{first_offset:020}.parquet");
        let (stream, last_offset) = (Stream::Events, first_offset);
        DataFile { path, stream, date, first_offset, last_offset, rows: 1, bytes, flush, generation: 0 }
    }

    fn pending(file: DataFile, published: Option<&str>) -> Pending {
        let staged = Staged {
            path: file.path.clone(),
            commit: "c".into(),
            size: file.bytes,
            upload: "u".into(),
            parts: vec!["\"e\"".into()],
        };
        let published = published.map(|v| Version(v.into()));
        Pending { file, staged, expect: Expect::Version(Version("v0".into())), closed: false, published }
    }

    fn place() -> Place {
        Place { topic: "t".into(), partition: PartitionId(0) }
    }

    fn state() -> State {
        State::fresh(&place(), 5, DateTime::UNIX_EPOCH)
    }

    const RULE: TailRule = TailRule { mode: TailMode::Rewrite, target_bytes: 100 };

    #[test]
    fn a_state_reads_back_as_it_was_written() {
        let mut state = state();
        state.lost.push(Lost { from: 1, to: 3, at: DateTime::UNIX_EPOCH });
        state.tails.push(Tail { file: file(1, 3, 10, 1), object: Version("v".into()) });
        state.pending.push(pending(file(2, 4, 10, 1), None));
        assert_eq!(State::parse(&place(), &state.to_json()).unwrap(), state);
    }

    #[test]
    fn a_damaged_or_newer_state_is_refused_with_what_to_do() {
        let newer = br#"{"version":2,"something":"else"}"#;
        assert!(matches!(State::parse(&place(), newer), Err(Error::StateVersion { found: 2, .. })));
        for damaged in [&b""[..], b"{", b"[]", br#"{"version":1}"#, br#"{"version":"1"}"#] {
            assert!(matches!(State::parse(&place(), damaged), Err(Error::StateDamaged { .. })));
        }
    }

    #[test]
    fn a_state_of_another_partition_or_with_offsets_that_cannot_be_is_refused() {
        let last_record = |offset| Some(Fingerprint { offset, timestamp_ms: 0, hash: String::new() });
        let lost = |from, to| vec![Lost { from, to, at: DateTime::UNIX_EPOCH }];
        let tail = |file| vec![Tail { file, object: Version("v".into()) }];
        let foreign =
            DataFile { path: "events/event_date=2026-01-01/u-0-1.parquet".into(), ..file(1, 3, 10, 1) };
        let cases = [
            (State { topic: "u".into(), ..state() }, "the state of u-0"),
            (State { partition: PartitionId(1), ..state() }, "the state of t-1"),
            (State { next_offset: -1, ..state() }, "its next offset is -1"),
            (State { last_record: last_record(5), ..state() }, "offset 5, and 5 is next"),
            (State { last_record: last_record(-2), ..state() }, "offset -2"),
            (State { lost: lost(-1, 3), ..state() }, "from -1 to 3"),
            (State { lost: lost(3, 2), ..state() }, "from 3 to 2"),
            (State { tails: tail(file(1, -3, 10, 1)), ..state() }, "the offsets -3 to -3"),
            (State { tails: tail(foreign), ..state() }, "u-0-1.parquet"),
            (
                State {
                    pending: vec![pending(DataFile { last_offset: -1, ..file(2, 4, 10, 1) }, None)],
                    ..state()
                },
                "4 to -1",
            ),
        ];
        for (state, expected) in cases {
            let error = State::parse(&place(), &state.to_json()).unwrap_err();
            let message = error.to_string();
            assert!(message.contains(expected) && message.contains("_state/events/t-0.json"), "{message}");
        }
    }

    #[test]
    fn a_published_file_becomes_its_dates_tail_until_it_has_the_target_size() {
        let mut state = state();
        state.tails.push(Tail { file: file(1, 0, 10, 1), object: Version("v0".into()) });
        state.tails.push(Tail { file: file(2, 1, 10, 1), object: Version("v0".into()) });
        state.pending = vec![pending(file(1, 0, 99, 2), Some("v1")), pending(file(3, 7, 100, 2), Some("v1"))];
        state.settle(RULE);
        let found: Vec<_> =
            state.tails.iter().map(|tail| (tail.file.first_offset, tail.object.0.as_str())).collect();
        assert_eq!(found, [(0, "v1"), (1, "v0")]);
        assert!(state.pending.is_empty());
        let mut appending = state.clone();
        appending.settle(TailRule { mode: TailMode::Append, ..RULE });
        assert!(appending.tails.is_empty());
        state.generation = 1;
        state.settle(RULE);
        assert!(state.tails.is_empty(), "an old topic's files take no rows of the new one");
    }

    #[test]
    fn a_move_leaves_the_tails_of_its_dates_open_but_those_that_are_gone() {
        let mut state = state();
        let tail = |day, first| Tail { file: file(day, first, 10, 1), object: Version("v0".into()) };
        state.tails = vec![tail(1, 0), tail(2, 1), tail(3, 2)];
        state.pending = vec![Pending { closed: true, ..pending(file(1, 7, 10, 2), Some("v1")) }];
        state.pending_then = vec![Pending { closed: true, ..pending(file(2, 1, 9, 2), Some("v2")) }];
        let (path, object) = (file(3, 2, 10, 1).path, Version("v0".into()));
        state.removals = vec![Removal { path, object, removed: true }];
        assert_eq!(State::parse(&place(), &state.to_json()).unwrap().removals.len(), 1);
        state.settle(RULE);
        let mut found: Vec<_> =
            state.tails.iter().map(|tail| (tail.file.first_offset, tail.object.0.as_str())).collect();
        found.sort_unstable();
        assert_eq!(found, [(0, "v0"), (1, "v2")]);
        assert!(!state.unpublished() && state.all_pending().next().is_none());
    }

    #[test]
    fn the_tails_that_were_not_touched_for_longest_are_forgotten_first() {
        let mut state = state();
        for day in 0..300 {
            let flush = u64::from(day);
            state.tails.push(Tail { file: file(day, 0, 10, flush), object: Version("v".into()) });
        }
        state.settle(RULE);
        assert_eq!(state.tails.len(), MOST_TAILS);
        assert!(state.tails.iter().all(|tail| tail.file.flush >= 44));
    }
}
