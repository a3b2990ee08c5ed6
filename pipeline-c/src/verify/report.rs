//! What a verification found.

use std::collections::BTreeMap;
use std::fmt;

use common::run::Exit;
use serde::Serialize;

use crate::commands::Outcome;
use crate::place::Place;

/// Findings of one kind that are named one by one; the counts are of all.
const EXAMPLES: usize = 20;

/// All partitions of a topic, compared.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// Its name.
    pub topic: String,
    /// Whether each record is one row, as far as Kafka still has the records.
    pub clean: bool,
    /// Partitions of the topic that were never consumed.
    pub unread_partitions: Vec<i32>,
    /// Each consumed partition.
    pub partitions: Vec<Proof>,
    /// Data files that belong to no partition that has a state object. Readers of the folder see their rows.
    pub stray_files: Vec<String>,
    /// Other objects in the folders; readers of Parquet do not see them.
    pub other_objects: Vec<String>,
}

/// One partition, compared.
#[derive(Debug, Default, Serialize)]
pub struct Proof {
    /// Its number.
    pub partition: i32,
    /// The first offset that Kafka still has: what lies before cannot be proven any more.
    pub log_start: i64,
    /// Everything below this offset was consumed.
    pub next_offset: i64,
    /// Where the log ends.
    pub end_offset: i64,
    /// Records that Kafka has between log start and next offset.
    pub records: u64,
    /// Offsets between them without a record: transactions' marks, or what compaction has removed.
    pub offsets_without_record: u64,
    /// Rows of `events` for these records.
    pub events: u64,
    /// Rows of `events_malformed` for these records.
    pub malformed: u64,
    /// Of them, those that could be read now: `replay-malformed` moves them.
    pub replayable: u64,
    /// Rows whose records Kafka does not have any more, so they are not proven.
    pub unproven_rows: u64,
    /// Offsets that were given up by `--on-gap skip`.
    pub lost_offsets: i64,
    /// Differences by kind; none when the partition is clean.
    pub differences: BTreeMap<Kind, u64>,
    /// The first of each kind.
    pub examples: Vec<Finding>,
}

/// How the lake may differ from the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A record that has no row.
    Missing,
    /// A row that is there once too often.
    Doubled,
    /// A record that has a row in both outputs.
    InBoth,
    /// A row for which there is no record.
    NoRecord,
    /// A file that is not what its name says.
    BadFile,
    /// A file that is committed and not visible, or is to be removed and stands.
    Unpublished,
    /// The state object cannot be read, or not be true: nothing of the partition is proven.
    BadState,
    /// The topic is another one than the one that was consumed.
    OtherTopic,
}

/// One difference.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The record's offset, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// The file, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// For people.
    pub detail: String,
}

impl Proof {
    /// Of a partition of which only one thing can be said.
    #[must_use]
    pub fn of(place: &Place, kind: Kind, detail: impl Into<String>) -> Self {
        let mut proof = Self { partition: place.partition.0, ..Self::default() };
        proof.differs(kind, None, None, detail);
        proof
    }

    /// Notes a difference.
    pub fn differs(
        &mut self,
        kind: Kind,
        offset: Option<i64>,
        file: Option<&str>,
        detail: impl Into<String>,
    ) {
        let count = self.differences.entry(kind).or_default();
        *count += 1;
        if *count <= EXAMPLES as u64 {
            let (file, detail) = (file.map(str::to_owned), detail.into());
            self.examples.push(Finding { kind, offset, file, detail });
        }
    }
}

impl Outcome for Verified {
    fn exit(&self) -> Exit {
        if self.clean { Exit::Done } else { Exit::Refused }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>9} {:>12} {:>12} {:>12} {:>12} {:>10} {:>10} {:>11}",
            "partition", "from", "to", "records", "events", "malformed", "unproven", "differences"
        )?;
        for proof in &self.partitions {
            writeln!(
                f,
                "{:>9} {:>12} {:>12} {:>12} {:>12} {:>10} {:>10} {:>11}",
                proof.partition,
                proof.log_start,
                proof.next_offset,
                proof.records,
                proof.events,
                proof.malformed,
                proof.unproven_rows,
                proof.differences.values().sum::<u64>()
            )?;
        }
        for proof in &self.partitions {
            proof.explain(f, &self.topic)?;
        }
        for file in &self.stray_files {
            writeln!(f, "stray file: {file} belongs to no partition with a state object")?;
        }
        for object in &self.other_objects {
            writeln!(f, "note: {object} is not one of this job's files")?;
        }
        if !self.unread_partitions.is_empty() {
            writeln!(f, "note: not consumed yet: partitions {:?}", self.unread_partitions)?;
        }
        write!(
            f,
            "{}: {}",
            self.topic,
            if self.clean { "each record is one row" } else { "THE LAKE DIFFERS" }
        )
    }
}

impl Proof {
    fn explain(&self, f: &mut fmt::Formatter<'_>, topic: &str) -> fmt::Result {
        let place = format!("{topic}-{}", self.partition);
        if self.unproven_rows > 0 {
            let rows = self.unproven_rows;
            writeln!(
                f,
                "note: {place}: {rows} rows are of records that Kafka does not have any more; only what it has is proven"
            )?;
        }
        if self.lost_offsets > 0 {
            writeln!(f, "note: {place}: {} offsets were given up by --on-gap skip", self.lost_offsets)?;
        }
        if self.replayable > 0 {
            writeln!(
                f,
                "note: {place}: {} malformed records can be read now: pipeline-c replay-malformed",
                self.replayable
            )?;
        }
        for (kind, count) in &self.differences {
            let kind = serde_json::to_value(kind).map_err(|_| fmt::Error)?;
            writeln!(f, "{place}: {count} {}", kind.as_str().unwrap_or_default())?;
        }
        for finding in &self.examples {
            write!(f, "  {place}")?;
            if let Some(offset) = finding.offset {
                write!(f, " offset {offset}")?;
            }
            if let Some(file) = &finding.file {
                write!(f, " {file}")?;
            }
            writeln!(f, ": {}", finding.detail)?;
        }
        Ok(())
    }
}
