//! Pipeline C interrupted at each step of its protocol: each record is one row all the same.

use std::pin::pin;
use std::time::Duration;

use futures::{StreamExt, stream};
use tests::events::assert_exactly_once;
use tests::observer::Observer;
use tests::program::Program;
use tests::store::Store;
use tests::topic::Topic;
use tests::{long, unique_name};
use tokio::time::timeout;

/// Every step, and a late passage through it: in the second batch, where tails are rewritten, or another partition's.
const STEPS: &[(&str, u32)] = &[
    ("uploads_listed", 1),
    ("state_read", 2),
    ("claimed", 2),
    ("cleaned", 2),
    ("upload_begun", 9),
    ("file_staged", 9),
    ("staged", 3),
    ("before_commit", 3),
    ("committed", 3),
    ("file_published", 9),
    ("published", 7),
    ("before_settle", 2),
    ("settled", 2),
];

/// Steps of a lake in a directory only.
const STEPS_OF_A_DIRECTORY: &[(&str, u32)] = &[("renamed", 15)];

/// Longer than it takes to take over and to read everything.
const HELD_UP: Duration = Duration::from_secs(30);

/// How many worlds are tried at once.
const AT_ONCE: usize = 3;

/// Records in the topic of such a test, in two partitions and three days.
const RECORDS: u64 = 2_400;

async fn filled() -> Topic {
    let topic = Topic::empty(2).await;
    let three_days = "--invalid-ratio 0.02 --from 2025-01-01 --to 2025-01-04";
    // In small pieces, as is what a consumer fetches: so there is always more than one batch.
    let pieces = "--kafka-config batch.num.messages=50";
    topic.produce(&format!("--count {RECORDS} {three_days} {pieces}")).await;
    topic
}

/// An instance in a group of its own, so that it need not wait for the end of another's session; it commits often.
fn instance(topic: &Topic, store: &Store) -> Program {
    let pieces =
        ["--kafka-config", "fetch.message.max.bytes=5000", "--kafka-config", "queued.max.messages.kbytes=5"];
    let program = topic.pipeline_c(&store.url()).args(["--flush-rows", "1"]).args(pieces);
    program.env("KAFKA_GROUP", &unique_name()).env("RUST_LOG", "error")
}

fn interrupted(topic: &Topic, store: &Store, step: &str, signal: &str, passage: u32) -> Program {
    instance(topic, store).env("FAILPOINT", &format!("{step}={signal}@{passage}"))
}

/// Reads what is left and asserts that each record is one row, and that nothing half-done is left behind.
async fn assert_ends_well(topic: &Topic, store: &Store, observer: Observer, case: &str) {
    let last = instance(topic, store).run().await;
    assert_eq!(last.code, 0, "{case}: {last:#?}");
    let seen = observer.stop().await;
    assert_eq!(seen.rows, RECORDS, "{case}: {seen:?}");
    assert_exactly_once(topic, store.copy().await.path()).await;
    topic.verify(&store.url()).await;
    assert_eq!(store.unfinished().await, Vec::<String>::new(), "{case}");
}

async fn killed(topic: &Topic, store: Store, step: &str, passage: u32) {
    let case = format!("killed at {step}, passage {passage}");
    let observer = Observer::of(&store.url()).await;
    let killed = interrupted(topic, &store, step, "KILL", passage).run().await;
    assert_eq!(killed.code, -1, "{case}: it never came there: {killed:#?}");
    assert_ends_well(topic, &store, observer, &case).await;
}

async fn stopped_while_another_takes_over(topic: &Topic, store: Store, step: &str, passage: u32) {
    let case = format!("stopped at {step}, passage {passage}");
    let observer = Observer::of(&store.url()).await;
    let stopped = interrupted(topic, &store, step, "STOP", passage).start();
    stopped.until_stopped().await;
    let mut other = pin!(instance(topic, &store).run());
    // Where it is stopped while another of its threads holds a directory's lock, the others wait for it.
    let taken_over = timeout(HELD_UP, &mut other).await;
    let late = stopped.go_on().await;
    let (other, codes) = match taken_over {
        Ok(other) => (other, &[0][..]),
        // Either of the two may take over last.
        Err(_) => (other.await, &[0, 4][..]),
    };
    assert!(codes.contains(&other.code), "{case}: {other:#?}");
    // Taken over; or it had nothing more to write; or it took over itself, and found nothing to do.
    assert!([0, 4].contains(&late.code), "{case}: {late:#?}");
    if late.code == 4 {
        assert!(late.stderr.contains("was taken over by"), "{case}: {late:#?}");
    }
    assert_ends_well(topic, &store, observer, &case).await;
}

/// Late passages through these steps; with --long through all, and the first ones, too.
fn passages(steps: &[&str]) -> Vec<(&'static str, u32)> {
    let late = STEPS.iter().chain(STEPS_OF_A_DIRECTORY).copied();
    if long() {
        late.clone().chain(late.map(|(step, _)| (step, 1))).collect()
    } else {
        late.filter(|(step, _)| steps.contains(step)).collect()
    }
}

fn of_a_directory(step: &str) -> bool {
    STEPS_OF_A_DIRECTORY.iter().any(|(known, _)| *known == step)
}

#[tokio::test]
async fn killed_at_any_step_each_record_is_one_row_in_s3() {
    let topic = filled().await;
    let cases: Vec<_> = STEPS.iter().map(|(step, _)| *step).collect();
    let each = async |(step, passage)| killed(&topic, Store::s3().await, step, passage).await;
    let cases = passages(&cases).into_iter().filter(|(step, _)| !of_a_directory(step));
    stream::iter(cases).map(each).buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[tokio::test]
async fn killed_at_any_step_each_record_is_one_row_in_a_directory() {
    let topic = filled().await;
    let cases = passages(&["cleaned", "file_staged", "committed", "renamed"]);
    let each = async |(step, passage)| killed(&topic, Store::directory(), step, passage).await;
    stream::iter(cases).map(each).buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[tokio::test]
async fn stopped_at_any_step_while_another_takes_over_each_record_is_one_row() {
    let topic = filled().await;
    let each = async |(step, passage)| {
        stopped_while_another_takes_over(&topic, Store::s3().await, step, passage).await;
        if long() {
            stopped_while_another_takes_over(&topic, Store::directory(), step, passage).await;
        }
    };
    let cases = passages(&["state_read", "upload_begun", "before_commit", "committed", "file_published"]);
    // One that is stopped while it holds a directory's lock holds up the others, who wait.
    let cases = cases.into_iter().filter(|(step, _)| !of_a_directory(step));
    stream::iter(cases).map(each).buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[test]
fn each_failpoint_of_the_protocol_has_its_test() {
    let mut tried: Vec<_> = [STEPS, STEPS_OF_A_DIRECTORY].concat().iter().map(|(step, _)| *step).collect();
    // Killed in the middle of a rebalance, among several instances: see `sharing`.
    tried.push("revoking");
    let sources =
        ["pipeline-c/src/ledger.rs", "pipeline-c/src/load.rs", "pipeline-c/src/extract/assignment.rs"];
    for source in sources.into_iter().chain(["common/src/lake/dir.rs"]) {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../").to_owned() + source;
        let text = std::fs::read_to_string(&source).unwrap();
        for step in text.split("failpoint(\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(tried.contains(&step), "{step} of {source}");
        }
    }
}
