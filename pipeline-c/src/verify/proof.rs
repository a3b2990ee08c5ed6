//! One partition: its records against its rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::NaiveDate;
use common::lake::{Lake, LakeError};
use tokio::sync::mpsc;

use super::hash::{self, EventContent, MalformedContent};
use super::offsets::OffsetSet;
use super::report::{Kind, Proof};
use super::rows::{self, Row};
use super::snapshot::Snapshot;
use super::table::{RowHash, Table};
use crate::error::Error;
use crate::extract::Chunk;
use crate::inventory::{Described, Footers, Undescribed, describe};
use crate::judging::Judge;
use crate::ledger::LogRange;
use crate::place::{Place, Stream};
use crate::timestamp::Day;
use crate::topic_log::TopicLog;
use crate::transform::Record;

/// Records that are compared one by one at a time.
const MOST_SUSPECTS: u64 = 400_000;

/// Chunks of records that wait to be judged.
const CHUNKS_AHEAD: usize = 16;

/// What is compared with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Events of dates all of whose rows have their records in Kafka.
    Whole,
    /// Events of dates with a file that also holds rows of records that Kafka does not have any more.
    Cut,
    /// Malformed records.
    Malformed,
}

/// What a record should have become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filing {
    /// Its row; none when it can be read no more and is not in `events_malformed`.
    pub(super) row: Option<(Part, RowHash)>,
    /// The row of a malformed record that it would have in `events` today.
    pub(super) also: Option<(Part, RowHash)>,
}

/// Proves one partition.
pub struct Prover<'a> {
    pub(super) lake: &'a Lake,
    log: &'a Arc<TopicLog>,
    judge: &'a Judge,
    place: &'a Place,
    snapshot: &'a Snapshot,
    pub(super) proof: Proof,
    /// What Kafka has of what was consumed.
    pub(super) range: LogRange,
    pub(super) files: Vec<Described>,
    /// Dates of [`Part::Cut`].
    pub(super) cut: BTreeSet<NaiveDate>,
    malformed: OffsetSet,
    tables: [Table; 3],
    /// Rows whose record Kafka may have removed because there is a newer one of its key.
    pub(super) compacted_away: u64,
}

impl<'a> Prover<'a> {
    /// Prepares it.
    pub fn new(
        lake: &'a Lake,
        log: &'a Arc<TopicLog>,
        judge: &'a Judge,
        place: &'a Place,
        snapshot: &'a Snapshot,
    ) -> Self {
        let state = &snapshot.state;
        let lost = state.lost.iter().map(|lost| lost.to - lost.from).sum();
        let proof = Proof {
            partition: place.partition.0,
            next_offset: state.next_offset,
            lost_offsets: lost,
            ..Proof::default()
        };
        Self {
            lake,
            log,
            judge,
            place,
            snapshot,
            proof,
            range: LogRange { start: 0, end: 0 },
            files: Vec::new(),
            cut: BTreeSet::new(),
            malformed: OffsetSet::default(),
            tables: Default::default(),
            compacted_away: 0,
        }
    }

    /// Compares. [`LakeError::Changed`]: a file was replaced meanwhile, take another snapshot.
    pub async fn prove(mut self, known: &mut Footers) -> Result<Proof, Error> {
        self.measure_log().await?;
        self.describe_files(known).await?;
        self.count_rows().await?;
        self.count_records().await?;
        self.tell_unpublished();
        if self.proof.offsets_without_record > 0 && self.log.is_compacted().await {
            self.compacted_away = self.proof.offsets_without_record;
        }
        for part in [Part::Whole, Part::Cut, Part::Malformed] {
            for suspects in self.tables[part as usize].differing(MOST_SUSPECTS) {
                self.examine(part, &suspects).await?;
            }
        }
        Ok(self.proof)
    }

    async fn measure_log(&mut self) -> Result<(), Error> {
        let partition = self.place.partition;
        let log = self.log.ask(move |log| log.range(partition)).await?;
        let next_offset = self.snapshot.state.next_offset;
        (self.proof.log_start, self.proof.end_offset) = (log.start, log.end);
        self.range = LogRange { start: log.start, end: next_offset.min(log.end) };
        if next_offset > log.end {
            let detail = format!(
                "the log ends at {}, {next_offset} is next: the topic was deleted and made anew, or lost records",
                log.end
            );
            self.proof.differs(Kind::OtherTopic, None, None, detail);
        }
        Ok(())
    }

    /// Tails come first: what an instance replaces while this goes on is read before it does.
    async fn describe_files(&mut self, known: &mut Footers) -> Result<(), Error> {
        let state = &self.snapshot.state;
        let (files, bad) = describe(self.lake, &self.snapshot.files, known).await?;
        for Undescribed { path, reason } in bad {
            self.proof.differs(Kind::BadFile, None, Some(&path), reason);
        }
        let of_now = |file: &Described| file.file.generation == state.generation;
        let (mut files, old): (Vec<_>, Vec<_>) = files.into_iter().partition(of_now);
        self.proof.unproven_rows += old.iter().map(|file| file.file.rows).sum::<u64>();
        let open: BTreeSet<&str> = state
            .tails
            .iter()
            .map(|tail| &*tail.file.path)
            .chain(state.all_pending().map(|pending| &*pending.file.path))
            .collect();
        files.sort_by_key(|file| !open.contains(&*file.meta.path));
        for file in &files {
            let Described { file, meta } = file;
            if file.first_offset >= state.next_offset || file.last_offset >= state.next_offset {
                let detail = format!("holds offsets from {}, which were never committed", file.first_offset);
                self.proof.differs(Kind::BadFile, None, Some(&meta.path), detail);
            }
            let straddles = file.first_offset < self.range.start && self.range.start <= file.last_offset;
            if file.stream == Stream::Events && straddles {
                self.cut.insert(file.date);
            }
        }
        self.files = files;
        Ok(())
    }

    async fn count_rows(&mut self) -> Result<(), Error> {
        for file in std::mem::take(&mut self.files) {
            if file.file.last_offset < self.range.start {
                self.proof.unproven_rows += file.file.rows;
                continue;
            }
            let path = &file.meta.path;
            let read = rows::read(self.lake, &file, |row| {
                let content = match row {
                    Row::Event(event) => {
                        self.proof.events += 1;
                        Some((part_of(&self.cut, event.date), hash::of(&event)))
                    }
                    Row::Malformed(malformed, own) => {
                        let offset = malformed.offset;
                        if !own {
                            let detail = "names another partition";
                            self.proof.differs(Kind::NoRecord, Some(offset), Some(path), detail);
                            None
                        } else if offset < self.range.start {
                            self.proof.unproven_rows += 1;
                            None
                        } else {
                            self.proof.malformed += 1;
                            // A second row of it is found as a difference of content.
                            self.malformed.insert(offset);
                            Some((Part::Malformed, hash::of(&malformed)))
                        }
                    }
                };
                if let Some((part, hash)) = content {
                    self.tables[part as usize].add_row(hash);
                }
            });
            match read.await {
                Ok(()) => self.files.push(file),
                Err(LakeError::Damaged { path, reason }) => {
                    self.proof.differs(Kind::BadFile, None, Some(&path), reason);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn count_records(&mut self) -> Result<(), Error> {
        let mut chunks = self.records();
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk?;
            let mut index = 0;
            while let Some(record) = chunk.get(index) {
                index += 1;
                self.proof.records += 1;
                self.compare_last(&record);
                let Filing { row, also } = self.filing(&record).await?;
                if also.is_some() {
                    self.proof.replayable += 1;
                }
                if let Some((part, hash)) = row {
                    self.tables[part as usize].add_record(hash);
                } else {
                    let detail = "has no row in events_malformed, and cannot be read as an event now";
                    self.proof.differs(Kind::Missing, Some(record.offset), None, detail);
                }
            }
        }
        let offsets = u64::try_from(self.range.end - self.range.start).unwrap_or_default();
        self.proof.offsets_without_record = offsets.saturating_sub(self.proof.records);
        Ok(())
    }

    /// The last record that was read tells whether this is the topic that was read.
    fn compare_last(&mut self, record: &Record<'_>) {
        let last = self.snapshot.state.last_record.as_ref();
        if last.is_some_and(|last| last.is_contradicted_by(record)) {
            let detail = "is not the record that was read there: the topic was deleted and made anew";
            self.proof.differs(Kind::OtherTopic, Some(record.offset), None, detail);
        }
    }

    /// All records that are compared.
    pub(super) fn records(&self) -> mpsc::Receiver<Result<Chunk, Error>> {
        let (to, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let (log, partition, range) = (Arc::clone(self.log), self.place.partition, self.range);
        tokio::task::spawn_blocking(move || {
            // Nobody wants more of it once the receiver is gone.
            let read = log.read(partition, range, |chunk| to.blocking_send(Ok(chunk)).is_ok());
            if let Err(error) = read {
                let _ = to.blocking_send(Err(error));
            }
        });
        chunks
    }

    /// What a record should have become.
    pub(super) async fn filing(&mut self, record: &Record<'_>) -> Result<Filing, Error> {
        let event = self.judge.judge(record).await?.ok().map(|event| {
            let date = Day::of(event.event_timestamp).date();
            let content = EventContent {
                date,
                event_id: event.event_id,
                customer_id: event.customer_id,
                event_type: event.event_type,
                product_id: event.product_id,
                event_timestamp: event.event_timestamp,
            };
            (part_of(&self.cut, date), hash::of(&content))
        });
        if !self.malformed.contains(record.offset) {
            return Ok(Filing { row: event, also: None });
        }
        let value = record.value.unwrap_or_default();
        let malformed = MalformedContent { offset: record.offset, key: record.key, value };
        Ok(Filing { row: Some((Part::Malformed, hash::of(&malformed))), also: event })
    }

    fn tell_unpublished(&mut self) {
        for path in &self.snapshot.unpublished {
            let detail =
                "is committed, and not as the state object says: start pipeline-c, which publishes it";
            self.proof.differs(Kind::Unpublished, None, Some(path), detail);
        }
    }
}

/// Where the rows of a date's events are compared.
pub(super) fn part_of(cut: &BTreeSet<NaiveDate>, date: NaiveDate) -> Part {
    if cut.contains(&date) { Part::Cut } else { Part::Whole }
}
