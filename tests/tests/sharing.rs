//! Instances of pipeline C that join, leave, die and sleep while events come in: each record is one row.

use std::collections::BTreeSet;

use tests::events::assert_exactly_once;
use tests::lake::Lake;
use tests::observer::Observer;
use tests::program::{Program, Running};
use tests::topic::Topic;
use tests::{long, unique_name};

/// The shortest session that brokers allow.
const SESSION_MS: u64 = 6_000;

/// Writes down what becomes visible every 300 ms.
fn instance(topic: &Topic, lake: &Lake) -> Program {
    let session = format!("session.timeout.ms={SESSION_MS}");
    topic
        .pipeline_c(&lake.url)
        .args(["--every", "300ms", "--flush-rows", "1000", "--kafka-config", &session])
        .args(["--kafka-config", "heartbeat.interval.ms=500"])
        .env("RUST_LOG", "error")
}

/// Waits until reports of this instance have named so many partitions.
async fn until_it_works_on(instance: &mut Running, wanted: usize) {
    let mut partitions = BTreeSet::new();
    while partitions.len() < wanted {
        let report = instance.next_report().await;
        partitions.extend(report["partitions"].as_object().unwrap().keys().cloned());
    }
}

/// Reads what is left and asserts that each record is one row.
async fn assert_ends_well(topic: &Topic, lake: &Lake, observer: Observer) {
    let last = topic.pipeline_c(&lake.url).env("KAFKA_GROUP", &unique_name()).run().await;
    assert_eq!(last.code, 0, "{last:#?}");
    let seen = observer.stop().await;
    eprintln!("{seen:?}");
    let found = assert_exactly_once(topic, lake.download().await.path()).await;
    assert_eq!(seen.rows, found.rows.count(), "{seen:?}");
    topic.verify(&lake.url).await;
    assert_eq!(lake.uploads().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_instance_that_sleeps_longer_than_its_session_loses_its_partitions_and_gets_some_again() {
    let (topic, lake) = (Topic::filled("--count 2000 --invalid-ratio 0.02").await, Lake::empty().await);
    let observer = Observer::of(&lake.url).await;
    let more = topic.producer("--rate 1000 --invalid-ratio 0.02").start();
    // It stops between its commit and the first file that is to be visible.
    let mut sleeping = instance(&topic, &lake).env("FAILPOINT", "committed=STOP@9").start();
    sleeping.until_stopped().await;
    let mut other = instance(&topic, &lake).start();
    // The group gives it everything once the session has ended.
    until_it_works_on(&mut other, 4).await;
    sleeping.wake().await;
    while sleeping.next_report().await["read"] == 0 {}
    until_it_works_on(&mut sleeping, 1).await;
    assert_eq!(more.terminate().await.code, 0);
    for ended in [sleeping.terminate().await, other.terminate().await] {
        assert_eq!(ended.code, 0, "{ended:#?}");
    }
    assert_ends_well(&topic, &lake, observer).await;
}

#[tokio::test]
async fn an_instance_that_dies_while_its_partitions_are_revoked_is_replaced_by_the_one_that_joins() {
    if !long() {
        return;
    }
    let (topic, lake) = (Topic::filled("--count 2000 --invalid-ratio 0.02").await, Lake::empty().await);
    let observer = Observer::of(&lake.url).await;
    let more = topic.producer("--rate 1000 --invalid-ratio 0.02").start();
    let mut dying = instance(&topic, &lake).env("FAILPOINT", "revoking=KILL").start();
    until_it_works_on(&mut dying, 4).await;
    let mut joining = instance(&topic, &lake).start();
    assert_eq!(dying.wait().await.code, -1, "nothing was revoked");
    until_it_works_on(&mut joining, 4).await;
    assert_eq!(more.terminate().await.code, 0);
    assert_eq!(joining.terminate().await.code, 0);
    assert_ends_well(&topic, &lake, observer).await;
}

/// Minutes: three places for instances, and every second one of them is started, ended, killed or put to sleep.
#[tokio::test]
async fn instances_that_join_leave_die_and_sleep_at_random_under_load_write_each_record_once() {
    const ROUNDS: usize = 90;
    if !long() {
        return;
    }
    let (topic, lake) = (Topic::filled("--count 5000 --invalid-ratio 0.02").await, Lake::empty().await);
    let observer = Observer::of(&lake.url).await;
    let more = topic.producer("--rate 1500 --invalid-ratio 0.02").start();
    let mut places: [Option<(Running, bool)>; 3] = [None, None, None];
    let mut done: Vec<String> = Vec::new();
    for _ in 0..ROUNDS {
        let [place, what, ..] = *uuid::Uuid::new_v4().as_bytes();
        let place = usize::from(place) % places.len();
        let (next, happened) = match places[place].take() {
            None => (Some((instance(&topic, &lake).start(), false)), "joined"),
            Some((sleeping, true)) => {
                sleeping.wake().await;
                (Some((sleeping, false)), "woke up")
            }
            Some((running, false)) => match what % 8 {
                0 | 1 => {
                    let ended = running.terminate().await;
                    assert_eq!(ended.code, 0, "{done:?}: {ended:#?}");
                    (None, "left")
                }
                2 => {
                    running.kill().await;
                    (None, "was killed")
                }
                3 => {
                    running.pause().await;
                    (Some((running, true)), "fell asleep")
                }
                _ => (Some((running, false)), "worked"),
            },
        };
        places[place] = next;
        done.push(format!("{place} {happened}"));
        // Time for the group to find out, or not quite.
        tokio::time::sleep(std::time::Duration::from_millis(500 + u64::from(what) * 4)).await;
    }
    eprintln!("{done:?}");
    assert_eq!(more.terminate().await.code, 0);
    for (running, asleep) in places.into_iter().flatten() {
        if asleep {
            running.wake().await;
        }
        let ended = running.terminate().await;
        assert_eq!(ended.code, 0, "{done:?}: {ended:#?}");
    }
    assert_ends_well(&topic, &lake, observer).await;
}
