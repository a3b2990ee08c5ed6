//! Kills at each step, on a lake in a directory.

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
use crate::config::{GateArgs, OnGap, OnNewTopic, TailMode};
use crate::inventory::{Described, Files, Footers, describe};
use crate::place::{PartitionId, Stream};
use crate::transform::{Event, Malformed, Reason, Record, Warnings};

const RULE: TailRule = TailRule { mode: TailMode::Rewrite, target_bytes: 1 << 20 };
const DAYS: i64 = 3;

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
        let uploads = unfinished_uploads(&self.lake, Duration::ZERO).await.unwrap();
        let patience = Duration::from_millis(200);
        let claim = Claim { owner: "me", at: at(0), gates: &self.gates, patience };
        Loader::claim(self.lake.clone(), self.place.clone(), log, claim, self.rule, &uploads).await
    }

    async fn claim(&self) -> Loader {
        self.claim_in(LogRange { start: 0, end: i64::MAX }).await.unwrap()
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

#[tokio::test]
async fn killed_after_staging_nothing_is_visible_and_the_next_owner_cleans_up() {
    let bench = Bench::new().await;
    let mut loader = bench.claim().await;
    let staged = bench.stage(&mut loader, 0..100).await;
    drop((staged, loader));
    bench.assert_once(0).await;
    assert!(!unfinished_uploads(&bench.lake, Duration::ZERO).await.unwrap().is_empty());
    let mut next = bench.claim().await;
    assert_eq!(next.next_offset(), 0);
    assert_eq!(unfinished_uploads(&bench.lake, Duration::ZERO).await.unwrap(), []);
    bench.flush(&mut next, 0..100).await;
    bench.assert_once(100).await;
}

#[tokio::test]
async fn killed_after_the_commit_the_next_owner_publishes() {
    let bench = Bench::new().await;
    let mut loader = bench.claim().await;
    bench.flush(&mut loader, 0..50).await;
    let staged = bench.stage(&mut loader, 50..100).await;
    loader.commit(staged, 100, at(1)).await.unwrap();
    drop(loader);
    bench.assert_once(50).await;
    let mut next = bench.claim().await;
    bench.assert_once(100).await;
    assert_eq!(next.next_offset(), 100);
    bench.flush(&mut next, 100..150).await;
    bench.assert_once(150).await;
}

#[tokio::test]
async fn killed_after_publishing_or_in_the_middle_of_it_publishing_again_changes_nothing() {
    let bench = Bench::new().await;
    let mut loader = bench.claim().await;
    let staged = bench.stage(&mut loader, 0..100).await;
    loader.commit(staged, 100, at(1)).await.unwrap();
    let first = &loader.ledger.state().pending[0];
    bench.lake.publish(&first.staged, &first.expect).await.unwrap();
    drop(loader);
    drop(bench.claim().await);
    bench.assert_once(100).await;
    let mut again = bench.claim().await;
    bench.flush(&mut again, 100..200).await;
    bench.assert_once(200).await;
    let (_, files) = bench.read(Stream::Events).await;
    assert_eq!(files, 3, "the tails were rewritten");
}

#[tokio::test]
async fn whatever_the_order_of_kills_each_record_is_one_row() {
    for seed in 0..12_u64 {
        let bench = Bench::new().await;
        let mut random = seed * 7_919 + 1;
        let mut next = move |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let mut zombies = Vec::new();
        let mut loader = bench.claim().await;
        for _ in 0..12 {
            let from = loader.next_offset();
            let to = from + i64::try_from(next(40) + 1).unwrap();
            let step = next(6);
            if step > 0 {
                let staged = bench.stage(&mut loader, from..to).await;
                if step > 1 {
                    loader.commit(staged, to, at(1)).await.unwrap();
                }
                if step > 2 {
                    loader.publish().await.unwrap();
                }
                if step > 4 {
                    loader.settle(at(2)).await.unwrap();
                }
            }
            if step < 4 {
                zombies.push(std::mem::replace(&mut loader, bench.claim().await));
            }
        }
        // Those that were only stopped go on where they were.
        for mut zombie in zombies {
            let _ = zombie.publish().await;
            let from = zombie.next_offset();
            if let Ok(staged) = zombie.stage(&batch(from..from + 9).into_outputs(&bench.place, at(1))).await {
                assert!(matches!(zombie.commit(staged, from + 9, at(1)).await, Err(Error::Fenced { .. })));
            }
        }
        let end = loader.next_offset();
        bench.assert_once(end).await;
        bench.flush(&mut bench.claim().await, end..end + 5).await;
        bench.assert_once(end + 5).await;
        assert_eq!(unfinished_uploads(&bench.lake, Duration::ZERO).await.unwrap(), [], "seed {seed}");
    }
}

#[tokio::test]
async fn an_owner_that_was_fenced_publishes_nothing_and_throws_its_files_away() {
    let bench = Bench::new().await;
    let mut old = bench.claim().await;
    let staged = bench.stage(&mut old, 0..100).await;
    let mut new = bench.claim().await;
    let also_staged = bench.stage(&mut new, 0..60).await;
    let error = old.commit(staged, 100, at(1)).await.unwrap_err();
    assert!(matches!(error, Error::Fenced { epoch: 2, .. }), "{error}");
    new.commit(also_staged, 60, at(1)).await.unwrap();
    new.publish().await.unwrap();
    bench.assert_once(60).await;
    assert_eq!(unfinished_uploads(&bench.lake, Duration::ZERO).await.unwrap(), []);
}

#[tokio::test]
async fn a_command_and_the_owner_write_in_turn_and_no_row_is_lost_or_doubled() {
    let bench = Bench::new().await;
    let mut owner = bench.claim().await;
    bench.flush(&mut owner, 0..30).await;
    let patience = Duration::from_millis(200);
    let visit = async || Loader::visit(bench.lake.clone(), bench.place.clone(), patience).await.unwrap();

    // The command replaces the owner's tails while the owner writes on.
    let mut command = visit().await;
    let moved = bench.rewrite_all(&mut command).await;
    owner.write(&bench.outputs(30..60), 60, at(2)).await.unwrap();
    let error = command.commit_move(moved, at(2)).await.unwrap_err();
    assert!(matches!(error, Error::Rearranged { .. }), "{error}");
    let moved = bench.rewrite_all(&mut command).await;
    command.commit_move(moved, at(2)).await.unwrap();
    bench.assert_once(60).await;
    owner.write(&bench.outputs(60..90), 90, at(3)).await.unwrap();
    bench.assert_once(90).await;

    // A commit whose answer was lost before a command's is not made again.
    let mut lost_its_answer = visit().await;
    owner.write(&bench.outputs(90..100), 100, at(4)).await.unwrap();
    lost_its_answer.write(&bench.outputs(90..100), 100, at(4)).await.unwrap();
    bench.assert_once(100).await;
    assert_eq!(unfinished_uploads(&bench.lake, Duration::ZERO).await.unwrap(), []);
}

#[tokio::test]
async fn a_command_lets_an_owner_that_it_was_faster_than_write_first() {
    let bench = Bench::new().await;
    let mut owner = bench.claim().await;
    bench.flush(&mut owner, 0..30).await;
    let patience = Duration::from_millis(200);
    let mut command = Loader::visit(bench.lake.clone(), bench.place.clone(), patience).await.unwrap();
    let moved = bench.rewrite_all(&mut command).await;
    owner.ledger.take_turn().await.unwrap();
    let writes = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        owner.ledger.check_owner().await.expect("nobody has written");
        owner.write(&bench.outputs(30..31), 31, at(2)).await.unwrap();
    };
    // The owner has rewritten one of the files meanwhile.
    let (moved, ()) = tokio::join!(command.commit_move(moved, at(2)), writes);
    assert!(matches!(moved, Err(Error::Rearranged { .. }) | Ok(_)));
    bench.assert_once(31).await;
}

#[tokio::test]
async fn what_a_command_staged_before_another_instance_claims_is_thrown_away_and_not_committed() {
    let bench = Bench::new().await;
    let mut owner = bench.claim().await;
    bench.flush(&mut owner, 0..30).await;
    let mut command =
        Loader::visit(bench.lake.clone(), bench.place.clone(), Duration::from_millis(200)).await.unwrap();
    let moved = bench.rewrite_all(&mut command).await;
    bench.claim().await;
    let error = command.commit_move(moved, at(2)).await.unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error}");
    bench.assert_once(30).await;
}

#[tokio::test]
async fn files_that_someone_else_put_there_are_left_alone() {
    let bench = Bench::new().await;
    let mut loader = bench.claim().await;
    let staged = bench.stage(&mut loader, 0..100).await;
    let path = staged.files[0].file.path.clone();
    bench.lake.put(&path, "foreign".into(), &Expect::Any).await.unwrap();
    loader.commit(staged, 100, at(1)).await.unwrap();
    let error = loader.publish().await.unwrap_err();
    assert!(matches!(&error, Error::Foreign { path: found, .. } if *found == path), "{error}");
    assert_eq!(bench.lake.get(&path).await.unwrap().unwrap().0, "foreign");
    let standing = bench.lake.head(&path).await.unwrap().unwrap();
    bench.lake.delete(&path, &standing.version).await.unwrap();
    bench.claim().await;
    bench.assert_once(100).await;
}

#[tokio::test]
async fn a_tail_that_was_replaced_by_someone_is_an_error_and_one_that_was_removed_is_not() {
    let bench = Bench::new().await;
    let mut loader = bench.claim().await;
    bench.flush(&mut loader, 1..4).await;
    // The first date's file holds the event at offset 3.
    let path = loader.ledger.state().pending.iter().map(|pending| pending.file.path.clone()).min().unwrap();
    bench.lake.put(&path, "foreign".into(), &Expect::Any).await.unwrap();
    let outputs = batch(4..7).into_outputs(&bench.place, at(1));
    assert!(matches!(loader.stage(&outputs).await, Err(Error::Foreign { .. })));
    loader.settle(at(2)).await.unwrap();
    let standing = bench.lake.head(&path).await.unwrap().unwrap();
    bench.lake.delete(&path, &standing.version).await.unwrap();
    let mut loader = bench.claim().await;
    bench.flush(&mut loader, 4..7).await;
    assert_eq!(bench.read(Stream::Events).await.0, [1, 2, 4, 5, 6]);
}

#[tokio::test]
async fn a_file_that_has_the_target_size_is_sealed_and_append_never_rewrites() {
    for rule in [TailRule { target_bytes: 1, ..RULE }, TailRule { mode: TailMode::Append, ..RULE }] {
        let mut bench = Bench::new().await;
        bench.rule = rule;
        let mut loader = bench.claim().await;
        for start in [0, 30, 60] {
            bench.flush(&mut loader, start..start + 30).await;
        }
        bench.assert_once(90).await;
        assert_eq!(bench.read(Stream::Events).await.1, 9);
        assert_eq!(bench.read(Stream::Malformed).await.1, 3);
    }
}

#[tokio::test]
async fn a_gap_stops_unless_it_is_to_be_skipped_and_is_recorded_then() {
    let mut bench = Bench::new().await;
    bench.flush(&mut bench.claim().await, 0..10).await;
    let log = LogRange { start: 15, end: 40 };
    let error = bench.claim_in(log).await.unwrap_err();
    assert!(
        error.to_string().contains("t-1-0: the log starts at offset 15, but 10 is next: 5 records"),
        "{error}"
    );
    bench.gates.on_gap = OnGap::Skip;
    let loader = bench.claim_in(log).await.unwrap();
    assert_eq!(loader.next_offset(), 15);
    let lost = &loader.ledger.state().lost[0];
    assert_eq!((lost.from, lost.to), (10, 15));
}

#[tokio::test]
async fn a_topic_made_anew_stops_unless_it_is_to_be_read_from_its_beginning() {
    let mut bench = Bench::new().await;
    bench.flush(&mut bench.claim().await, 0..10).await;
    let log = LogRange { start: 0, end: 5 };
    let error = bench.claim_in(log).await.unwrap_err();
    assert!(error.to_string().contains("--on-new-topic restart"), "{error}");
    bench.gates.on_new_topic = OnNewTopic::Restart;
    let mut loader = bench.claim_in(log).await.unwrap();
    assert_eq!(loader.next_offset(), 0);
    bench.flush(&mut loader, 0..5).await;
    bench.flush(&mut loader, 5..8).await;
    // Both topics' rows are there: 9 and 7 events, each of the first 8 twice but for the malformed.
    assert_eq!(bench.read(Stream::Events).await.0.len(), 9 + 7);
    assert_eq!(bench.read(Stream::Events).await.1, 6);
}

#[tokio::test]
async fn large_files_have_small_row_groups_and_stay_sorted_when_they_are_merged() {
    let mut bench = Bench::new().await;
    bench.rule.target_bytes = u64::MAX;
    let mut loader = bench.claim().await;
    bench.flush(&mut loader, 0..100_000).await;
    bench.flush(&mut loader, 100_000..100_100).await;
    bench.flush(&mut loader, 100_100..190_000).await;
    bench.assert_once(190_000).await;
    assert_eq!(bench.read(Stream::Events).await.1, 3);
}

#[tokio::test]
async fn a_state_object_that_cannot_be_read_stops_the_claim() {
    let bench = Bench::new().await;
    bench.claim().await;
    let path = bench.place.state_path();
    bench.lake.put(&path, "{\"version\":9}".into(), &Expect::Any).await.unwrap();
    let log = LogRange { start: 0, end: 9 };
    assert!(matches!(bench.claim_in(log).await, Err(Error::StateVersion { found: 9, .. })));
    bench.lake.put(&path, "{".into(), &Expect::Any).await.unwrap();
    assert!(matches!(bench.claim_in(log).await, Err(Error::StateDamaged { .. })));
}
