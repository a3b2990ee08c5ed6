//! A loader on a lake in a directory.

mod claims;
mod files;
mod kills;
mod lost;
mod moves;

use std::collections::BTreeMap;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use chrono::DateTime;
use futures::TryStreamExt;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use tempfile::TempDir;

use super::*;
use crate::batch::Batch;
use crate::config::{GateArgs, OnGap, OnLostFile, OnNewTopic, TailMode};
use crate::inventory::{Described, Files, Footers, describe};
use crate::place::{PartitionId, Stream};
use crate::transform::{Event, Malformed, Reason, Record, Warnings};

const RULE: TailRule = TailRule { mode: TailMode::Rewrite, target_bytes: 1 << 20 };
const DAYS: i64 = 3;
const PATIENCE: Duration = Duration::from_millis(200);

struct Bench {
    lake: Lake,
    place: Place,
    gates: GateArgs,
    rule: TailRule,
    _dir: TempDir,
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + second, 0).unwrap()
}

/// Every tenth record is malformed; the others are spread over days and customers.
fn batch(offsets: std::ops::Range<i64>) -> Batch {
    let mut batch = Batch::starting_at(PartitionId(0), offsets.start);
    for offset in offsets {
        let (key, event_id) = (format!("k{offset}"), format!("e{offset}"));
        let record =
            Record { offset, timestamp_ms: offset, key: Some(key.as_bytes()), value: Some(b"value") };
        let judged = if offset % 10 == 0 {
            Err(Malformed { reason: Reason::Undecodable, detail: "cut off".into() })
        } else {
            Ok(Event {
                event_id: &event_id,
                customer_id: i32::try_from(offset * 7_919 % 101).unwrap(),
                event_type: "LIKE",
                product_id: (offset % 4 == 0).then_some(5),
                event_timestamp: at(offset % DAYS * 86_400).timestamp_micros(),
                warnings: Warnings::default(),
            })
        };
        batch.push(&record, judged);
    }
    batch
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lake = Lake::open(&format!("file://{}", dir.path().display()).parse().unwrap()).await.unwrap();
        let place = Place { topic: "t-1".into(), partition: PartitionId(0) };
        Self { lake, place, gates: GateArgs::default(), rule: RULE, _dir: dir }
    }

    async fn claim_in(&self, log: LogRange) -> Result<Loader, Error> {
        self.claim_after(&self.standing().await, log).await
    }

    async fn standing(&self) -> Standing {
        Standing::list(&self.lake, &self.place.topic, Duration::ZERO).await.unwrap()
    }

    async fn claim_after(&self, standing: &Standing, log: LogRange) -> Result<Loader, Error> {
        let claim = Claim { owner: "me", at: at(0), gates: &self.gates, patience: PATIENCE };
        Loader::claim(self.lake.clone(), self.place.clone(), log, claim, self.rule, standing).await
    }

    async fn uploads(&self) -> Vec<Upload> {
        self.standing().await.uploads
    }

    async fn claim(&self) -> Loader {
        self.claim_in(LogRange { start: 0, end: i64::MAX }).await.unwrap()
    }

    /// A command beside the owner.
    async fn visit(&self) -> Loader {
        Loader::visit(self.lake.clone(), self.place.clone(), PATIENCE).await.unwrap()
    }

    async fn stage(&self, loader: &mut Loader, offsets: std::ops::Range<i64>) -> StagedFiles {
        loader.stage(&batch(offsets).into_outputs(&self.place, at(1))).await.unwrap()
    }

    async fn flush(&self, loader: &mut Loader, offsets: std::ops::Range<i64>) {
        let end = offsets.end;
        let staged = self.stage(loader, offsets).await;
        loader.commit(staged, end, at(1)).await.unwrap();
        loader.publish().await.unwrap();
    }

    fn outputs(&self, offsets: std::ops::Range<i64>) -> Vec<Output> {
        batch(offsets).into_outputs(&self.place, at(1))
    }

    /// Stages another content for each file.
    async fn rewrite_all(&self, command: &mut Loader) -> Move {
        let mut moved = command.begin_move().await.unwrap();
        let mut files = Files::list(&self.lake, &self.place.topic).await.unwrap();
        for (name, meta) in files.owned.remove(&self.place).unwrap() {
            let (described, _) =
                describe(&self.lake, &[(name, meta)], &mut Footers::default()).await.unwrap();
            let Described { file, meta } = &described[0];
            let rewritten = command.rewrite(&moved, file, meta, async |to, label| {
                crate::rewrite::merged(vec![command.file(meta)], file, label, to).await
            });
            let rewritten = rewritten.await.unwrap();
            moved.leave(rewritten);
        }
        moved
    }

    /// Rows of a column in every file of a stream, as a reader who lists the folder finds them.
    async fn read(&self, stream: Stream) -> (Vec<i64>, usize) {
        let files = self.lake.list(stream.table()).await.unwrap();
        let count = files.len();
        let mut offsets = Vec::new();
        for meta in files {
            let stream_of_rows = ParquetRecordBatchStreamBuilder::new(self.lake.file(meta)).await.unwrap();
            assert!(stream_of_rows.metadata().row_groups().iter().all(|group| group.num_rows() <= 20_000));
            let mut last = i32::MIN;
            for rows in stream_of_rows.build().unwrap().try_collect::<Vec<_>>().await.unwrap() {
                match stream {
                    Stream::Events => {
                        let ids = rows.column(0).as_string::<i32>();
                        offsets.extend(ids.iter().map(|id| id.unwrap()[1..].parse::<i64>().unwrap()));
                        for customer in rows.column(1).as_primitive::<Int32Type>().values() {
                            assert!(*customer >= last, "sorted by customer");
                            last = *customer;
                        }
                    }
                    Stream::Malformed => {
                        offsets.extend_from_slice(rows.column(2).as_primitive::<Int64Type>().values());
                        let keys = rows.column(4).as_binary::<i32>();
                        assert_eq!(keys.null_count(), 0);
                    }
                }
            }
        }
        offsets.sort_unstable();
        (offsets, count)
    }

    /// Each record below `end` is in exactly one row.
    async fn assert_once(&self, end: i64) {
        let (mut found, _) = self.read(Stream::Events).await;
        found.extend(self.read(Stream::Malformed).await.0);
        let mut times: BTreeMap<i64, u32> = BTreeMap::new();
        for offset in found {
            *times.entry(offset).or_default() += 1;
        }
        assert!(times.values().all(|times| *times == 1), "doubled: {times:?}");
        assert!(times.keys().copied().eq(0..end), "0..{end}, found {}", times.len());
    }
}
