//! Pipeline C killed, and several of it at once: each record is one row all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tests::events::assert_exactly_once;
use tests::lake::Lake;
use tests::observer::Observer;
use tests::program::{Program, Running};
use tests::topic::Topic;

/// Commits often, so that a kill has something to interrupt; `setting` is one of librdkafka's.
fn often(topic: &Topic, lake: &Lake, setting: &str) -> Program {
    topic
        .pipeline_c(&lake.url)
        .args([
            "--flush-rows",
            "400",
            "--kafka-config",
            "heartbeat.interval.ms=300",
            "--kafka-config",
            setting,
        ])
        .env("RUST_LOG", "error")
}

#[tokio::test]
async fn killed_at_any_moment_again_and_again_each_record_is_one_row_in_the_end() {
    let three_days = "--count 40000 --invalid-ratio 0.02 --from 2025-01-01 --to 2025-01-04";
    let (topic, lake) = (Topic::filled(three_days).await, Lake::empty().await);
    let observer = Observer::of(&lake.url).await;
    let more = topic.producer("--rate 3000 --invalid-ratio 0.02").start();
    // A member of the same name need not wait until the killed one's session has ended.
    let member = "group.instance.id=killed";
    let mut killed_after_ms = Vec::new();
    for _ in 0..8 {
        let run = often(&topic, &lake, member).args(["--every", "100ms"]).start();
        // Any moment: what is interrupted is another thing each time.
        let after_ms = 300 + u64::from(uuid::Uuid::new_v4().as_bytes()[0]) * 4;
        killed_after_ms.push(after_ms);
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        let killed = run.kill().await;
        assert_eq!(killed.code, -1, "it ended before: {killed:#?}");
    }
    assert_eq!(more.terminate().await.code, 0);

    eprintln!("killed after {killed_after_ms:?} ms");
    let last = often(&topic, &lake, member).report().await;
    assert_ne!(last["status"], "failed", "{last}");
    eprintln!("{:?}", observer.stop().await);
    topic.verify(&lake.url).await;
    assert_exactly_once(&topic, lake.download().await.path()).await;
    assert_eq!(often(&topic, &lake, member).report().await["status"], "idle");
}

#[tokio::test]
async fn two_instances_share_the_work_hand_it_over_and_write_each_record_once() {
    let (topic, lake) = (Topic::filled("--count 10000 --invalid-ratio 0.02").await, Lake::empty().await);
    let observer = Observer::of(&lake.url).await;
    let start = |member| often(&topic, &lake, member).args(["--every", "500ms"]).start();
    let (mut one, mut two) = (start("client.id=one"), start("client.id=two"));
    let more = topic.producer("--rate 2500 --invalid-ratio 0.02").start();
    let (by_one, by_two) = tokio::join!(read(&mut one, 2_000), read(&mut two, 2_000));
    assert_ne!((by_one.0, by_two.0), (0, 0));

    let stopped = one.terminate().await;
    assert_eq!(stopped.code, 0, "{stopped:#?}");
    let produced = more.terminate().await;
    assert_eq!(produced.code, 0, "{produced:#?}");
    let mut ends = BTreeMap::new();
    for record in topic.records().await {
        ends.insert(record.partition.to_string(), record.offset + 1);
    }
    // All partitions are its own now.
    topic.produce("--count 2000").await;
    let mut reached = by_two.1;
    while ends.iter().any(|(partition, end)| reached.get(partition).is_none_or(|offset| offset <= end)) {
        reached.extend(read(&mut two, 1).await.1);
    }
    let stopped = two.terminate().await;
    assert_eq!(stopped.code, 0, "{stopped:#?}");
    topic.pipeline_c(&lake.url).report().await;
    let seen = observer.stop().await;
    let found = assert_exactly_once(&topic, lake.download().await.path()).await;
    assert_eq!(seen.rows, found.rows.count(), "{seen:?}");
}

#[tokio::test]
async fn an_instance_that_slept_while_another_group_took_over_publishes_nothing_more_and_ends_with_4() {
    let (topic, lake) = (Topic::filled("--count 60000 --invalid-ratio 0.02").await, Lake::empty().await);
    let observer = Observer::of(&lake.url).await;
    // The group does not notice; only the state objects can.
    let sleeping =
        often(&topic, &lake, "session.timeout.ms=60000").env("FAILPOINT", "file_published=STOP@2").start();
    sleeping.until_stopped().await;

    let other = format!("{}-other", topic.name);
    let taken_over = often(&topic, &lake, "client.id=other").args(["--group", &other]).run().await;
    assert_eq!(taken_over.code, 0, "{taken_over:#?}");
    assert_ne!(taken_over.report()["read"], 0, "the first was done already");
    assert_exactly_once(&topic, lake.download().await.path()).await;

    let fenced = sleeping.go_on().await;
    let message = fenced.failed_with(4);
    assert!(message.contains("was taken over by"), "{message}");
    observer.stop().await;
    assert_exactly_once(&topic, lake.download().await.path()).await;
}

/// Waits until this instance has read so many records; returns how many, and the next offsets.
async fn read(instance: &mut Running, wanted: u64) -> (u64, BTreeMap<String, i64>) {
    let (mut read, mut reached) = (0, BTreeMap::new());
    while read < wanted {
        let report: Value = instance.next_report().await;
        read += report["read"].as_u64().unwrap();
        let partitions = report["partitions"].as_object().unwrap();
        reached
            .extend(partitions.iter().map(|(partition, next)| (partition.clone(), next.as_i64().unwrap())));
    }
    (read, reached)
}
