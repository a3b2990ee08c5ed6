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
use crate::config::{GateArgs, OnGap, OnLostFile, OnNewTopic, TailMode};
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
        let standing = Standing::list(&self.lake, &self.place.topic, Duration::ZERO).await.unwrap();
        let patience = Duration::from_millis(200);
        let claim = Claim { owner: "me", at: at(0), gates: &self.gates, patience };
        Loader::claim(self.lake.clone(), self.place.clone(), log, claim, self.rule, &standing).await
    }

    async fn uploads(&self) -> Vec<Upload> {
        Standing::list(&self.lake, &self.place.topic, Duration::ZERO).await.unwrap().uploads
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
    assert!(!bench.uploads().await.is_empty());
    let mut next = bench.claim().await;
    assert_eq!(next.next_offset(), 0);
    assert_eq!(bench.uploads().await, []);
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
        assert_eq!(bench.uploads().await, [], "seed {seed}");
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
    assert_eq!(bench.uploads().await, []);
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
    assert_eq!(bench.uploads().await, []);
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

#[tokio::test]
async fn a_state_object_that_was_removed_stops_the_claim_while_files_of_the_partition_stand() {
    let bench = Bench::new().await;
    // Files of others do not matter to a new partition.
    let date = chrono::NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    let other = Place { topic: "t-1".into(), partition: PartitionId(1) };
    for stranger in
        [other.file_path(Stream::Events, date, 0, 0), "events/event_date=2026-01-01/x.parquet".into()]
    {
        bench.lake.put(&stranger, "another's".into(), &Expect::Absent).await.unwrap();
    }
    let mut loader = bench.claim().await;
    // Only a malformed record.
    bench.flush(&mut loader, 0..1).await;
    let path = bench.place.state_path();
    let standing = bench.lake.head(&path).await.unwrap().unwrap();
    bench.lake.delete(&path, &standing.version).await.unwrap();

    let error = bench.claim_in(LogRange { start: 0, end: 9 }).await.unwrap_err();
    let file = bench.lake.list(Stream::Malformed.table()).await.unwrap().remove(0);
    let message = error.to_string();
    assert!(message.contains(&file.path) && message.contains(&path), "{message}");
    assert_eq!(bench.lake.head(&path).await.unwrap(), None, "nothing was claimed");
    bench.lake.delete(&file.path, &file.version).await.unwrap();
    assert_eq!(bench.claim().await.next_offset(), 0);
}

/// Commits 50..100 on top of 0..50 and publishes nothing of it.
async fn killed_before_publishing(bench: &Bench) -> Vec<Pending> {
    let mut loader = bench.claim().await;
    bench.flush(&mut loader, 0..50).await;
    let staged = bench.stage(&mut loader, 50..100).await;
    loader.commit(staged, 100, at(1)).await.unwrap();
    loader.ledger.state().pending.clone()
}

const LOG: LogRange = LogRange { start: 0, end: 1_000 };

#[tokio::test]
async fn a_batch_whose_uploads_are_gone_is_named_and_read_again_where_that_is_asked_for() {
    // All of them, or one: the others are not visible either.
    for gone in [4, 1] {
        let mut bench = Bench::new().await;
        let pending = killed_before_publishing(&bench).await;
        for pending in &pending[..gone] {
            bench.lake.abort(&pending.staged).await.unwrap();
        }
        if gone == 4 {
            let message = bench.claim_in(LOG).await.unwrap_err().to_string();
            assert!(message.contains("--on-lost-file skip") && message.contains("offsets from"), "{message}");
            assert!(pending.iter().any(|pending| message.contains(&pending.file.path)), "{message}");
            bench.assert_once(50).await;
        }
        bench.gates.on_lost_file = OnLostFile::Skip;
        let mut loader = bench.claim().await;
        assert_eq!((loader.next_offset(), loader.ledger.state().lost_files.len()), (50, 0));
        bench.assert_once(50).await;
        bench.flush(&mut loader, 50..120).await;
        bench.assert_once(120).await;
        assert_eq!(bench.uploads().await, []);
    }
}

#[tokio::test]
async fn a_file_that_is_gone_after_others_of_its_commit_are_visible_is_given_up_and_recorded() {
    let mut bench = Bench::new().await;
    let pending = killed_before_publishing(&bench).await;
    bench.lake.publish(&pending[0].staged, &pending[0].expect).await.unwrap();
    bench.lake.abort(&pending[1].staged).await.unwrap();
    assert!(
        matches!(bench.claim_in(LOG).await, Err(Error::Lost { path, .. }) if path == pending[1].file.path)
    );
    bench.gates.on_lost_file = OnLostFile::Skip;
    let mut loader = bench.claim().await;
    assert_eq!(loader.next_offset(), 100);
    let lost: Vec<_> = loader.ledger.state().lost_files.iter().map(|lost| lost.file.path.clone()).collect();
    assert_eq!(lost, [pending[1].file.path.clone()]);
    bench.flush(&mut loader, 100..120).await;
    let found = bench.read(Stream::Events).await.0.len() + bench.read(Stream::Malformed).await.0.len();
    let visible_before = u64::try_from(found).unwrap();
    assert!((90..120).contains(&visible_before), "{visible_before} rows");
}

#[tokio::test]
async fn a_tail_that_was_removed_under_its_replacement_comes_back_with_all_its_rows() {
    let mut bench = Bench::new().await;
    let pending = killed_before_publishing(&bench).await;
    let path = &pending[0].file.path;
    let standing = bench.lake.head(path).await.unwrap().unwrap();
    bench.lake.delete(path, &standing.version).await.unwrap();
    assert!(matches!(bench.claim_in(LOG).await, Err(Error::Lost { .. })));
    bench.gates.on_lost_file = OnLostFile::Skip;
    let mut loader = bench.claim().await;
    assert_eq!(loader.next_offset(), 100);
    bench.assert_once(100).await;
    bench.flush(&mut loader, 100..120).await;
    bench.assert_once(120).await;
}

#[tokio::test]
async fn a_move_whose_files_are_gone_is_undone_and_can_be_made_again() {
    let mut bench = Bench::new().await;
    bench.flush(&mut bench.claim().await, 0..100).await;
    bench.claim().await.settle(at(2)).await.unwrap();
    let malformed = bench.lake.list(Stream::Malformed.table()).await.unwrap();
    let outputs: Vec<_> = batch(0..100)
        .into_outputs(&bench.place, at(86_400 * 30))
        .into_iter()
        .filter(|output| output.stream == Stream::Malformed)
        .collect();
    // Malformed records move to another date's folder; one of two new files is gone before it is visible.
    let mut loader = bench.claim().await;
    let mut moved = loader.begin_move().await.unwrap();
    loader.move_in(&mut moved, &outputs, 0).await.unwrap();
    let lost = moved.added[0].staged.clone();
    let beside = batch(0..100).into_outputs(&bench.place, at(86_400 * 60));
    let beside: Vec<_> = beside.into_iter().filter(|output| output.stream == Stream::Malformed).collect();
    loader.move_in(&mut moved, &beside, 0).await.unwrap();
    let other = moved.added[1].clone();
    moved.remove(&malformed[0]);
    bench.lake.abort(&lost).await.unwrap();
    assert!(matches!(loader.commit_move(moved, at(3)).await, Err(Error::Lost { .. })));
    bench.lake.publish(&other.staged, &other.expect).await.unwrap();

    assert!(matches!(bench.claim_in(LOG).await, Err(Error::Lost { .. })));
    bench.gates.on_lost_file = OnLostFile::Skip;
    let mut loader = bench.claim().await;
    bench.assert_once(100).await;
    let mut moved = loader.begin_move().await.unwrap();
    loader.move_in(&mut moved, &outputs, 0).await.unwrap();
    moved.remove(&malformed[0]);
    loader.commit_move(moved, at(3)).await.unwrap();
    bench.assert_once(100).await;
}
