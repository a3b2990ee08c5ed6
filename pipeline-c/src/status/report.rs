//! What `status` shows.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use common::run::RunReport;
use serde::Serialize;

use crate::commands::Outcome;
use crate::ledger::LogRange;

/// A topic at a moment.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Its name.
    pub topic: String,
    /// The moment.
    pub at: DateTime<Utc>,
    /// Why Kafka's side is not shown.
    pub kafka_error: Option<String>,
    /// Records that are to be read, in all partitions.
    pub lag: Option<i64>,
    /// Kafka's timestamp of the newest record that is visible.
    pub newest_visible_at: Option<DateTime<Utc>>,
    /// Time since then.
    pub freshness_ms: Option<i64>,
    /// Each partition that Kafka or the lake knows.
    pub partitions: Vec<PartitionStatus>,
    /// The newest report.
    pub last_run: Option<RunReport>,
}

/// A partition at a moment. What is not known is null.
#[derive(Debug, Default, Serialize)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: i32,
    /// The next offset to be read; none when it was never consumed.
    pub next_offset: Option<i64>,
    /// The first offset that Kafka has.
    pub log_start: Option<i64>,
    /// Where the log ends.
    pub end_offset: Option<i64>,
    /// Offsets to be read.
    pub lag: Option<i64>,
    /// Kafka's timestamp of the last record that was committed.
    pub newest_committed_at: Option<DateTime<Utc>>,
    /// The same, where all that was committed is visible.
    pub newest_visible_at: Option<DateTime<Utc>>,
    /// The instance that claimed it last.
    pub owner: Option<String>,
    /// How often it was claimed.
    pub epoch: Option<u64>,
    /// When its state object was written.
    pub committed_at: Option<DateTime<Utc>>,
    /// Offsets that were given up by `--on-gap skip`.
    pub lost_offsets: i64,
    /// Files that the next rows of their dates are added to.
    pub open: Vec<OpenFile>,
    /// Files of the last commit, in the order in which they become visible.
    pub pending: Vec<PendingFile>,
    /// Files that are removed after that: their rows have moved.
    pub removals: Vec<RemovedFile>,
    /// What will stop the next run, and what to do.
    pub problem: Option<String>,
    /// Why its state object cannot be read.
    pub error: Option<String>,
}

/// A tail.
#[derive(Debug, Serialize)]
pub struct OpenFile {
    /// Its path.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A file of the last commit.
#[derive(Debug, Serialize)]
pub struct PendingFile {
    /// Its path.
    pub path: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether readers see it already; the next commit takes it off the list then.
    pub visible: bool,
    /// Whether it can never become visible: what was staged for it is gone.
    pub lost: bool,
}

/// A file all of whose rows have moved.
#[derive(Debug, Serialize)]
pub struct RemovedFile {
    /// Its path.
    pub path: String,
    /// Whether it is gone already.
    pub gone: bool,
}

impl PartitionStatus {
    /// A partition that was never consumed.
    #[must_use]
    pub fn unread(partition: i32, log: LogRange) -> Self {
        Self {
            partition,
            log_start: Some(log.start),
            end_offset: Some(log.end),
            lag: Some(log.end - log.start),
            ..Self::default()
        }
    }

    fn problem(&self) -> Option<&String> {
        self.error.as_ref().or(self.problem.as_ref())
    }
}

impl Outcome for Status {}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (next, end, lag, open, rows, bytes) = ("next", "end", "lag", "open files", "rows", "bytes");
        writeln!(
            f,
            "partition {next:>14} {end:>14} {lag:>12} {open:>10} {rows:>12} {bytes:>12}  pending removals  newest visible"
        )?;
        for partition in &self.partitions {
            let number = |value: Option<i64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
            let newest = match (partition.newest_visible_at, partition.newest_committed_at) {
                (Some(at), _) => shown(at),
                (None, Some(_)) => "not all is".to_owned(),
                (None, None) => "-".to_owned(),
            };
            writeln!(
                f,
                "{:>9} {:>14} {:>14} {:>12} {:>10} {:>12} {:>12} {:>8} {:>8}  {newest}",
                partition.partition,
                number(partition.next_offset),
                number(partition.end_offset),
                number(partition.lag),
                partition.open.len(),
                partition.open.iter().map(|file| file.rows).sum::<u64>(),
                partition.open.iter().map(|file| file.bytes).sum::<u64>(),
                partition.pending.iter().filter(|file| !file.visible).count(),
                partition.removals.iter().filter(|file| !file.gone).count(),
            )?;
        }
        for problem in self.partitions.iter().filter_map(PartitionStatus::problem) {
            writeln!(f, "PROBLEM: {problem}")?;
        }
        for file in
            self.partitions.iter().flat_map(|partition| &partition.pending).filter(|file| !file.visible)
        {
            writeln!(f, "committed, not visible yet: {} ({} rows)", file.path, file.rows)?;
        }
        for file in self.partitions.iter().flat_map(|partition| &partition.removals).filter(|file| !file.gone)
        {
            writeln!(f, "to be removed, its rows have moved: {}", file.path)?;
        }
        if let Some(error) = &self.kafka_error {
            writeln!(f, "Kafka: {error}; its offsets are not shown")?;
        }
        if let Some(freshness_ms) = self.freshness_ms {
            writeln!(f, "newest visible record: {}.{:03} s ago", freshness_ms / 1_000, freshness_ms % 1_000)?;
        }
        match &self.last_run {
            Some(run) => write!(f, "last run: {} {run}", shown(run.started_at)),
            None => write!(f, "last run: none yet"),
        }
    }
}

fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
