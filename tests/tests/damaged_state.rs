//! Pipeline C where state objects, or what they name, were removed or damaged from outside.

use serde_json::json;
use tests::events::assert_exactly_once;
use tests::lake::Lake;
use tests::program::Program;
use tests::store::Store;
use tests::topic::Topic;
use tests::{long, unique_name};

/// A run that need not wait for the end of another's session.
fn run(topic: &Topic, lake: &str) -> Program {
    topic.pipeline_c(lake).env("KAFKA_GROUP", &unique_name())
}

#[tokio::test]
async fn a_state_object_that_was_removed_doubles_nothing_and_a_new_partition_starts_all_the_same() {
    let (mut topic, lake) = (Topic::empty(2).await, Lake::empty().await);
    topic.produce("--count 400 --invalid-ratio 0.05").await;
    run(&topic, &lake.url).report().await;
    let state = format!("_state/events/{}-1.json", topic.name);
    let content = std::fs::read(lake.download().await.path().join(&state)).unwrap();
    lake.remove(&state).await;
    topic.add_partitions(3).await;
    topic.produce("--count 300").await;

    let stopped = run(&topic, &lake.url).run().await;
    let message = stopped.failed_with(1);
    assert!(message.contains(&state) && message.contains("is missing"), "{message}");
    assert!(message.contains(&format!("{}-1-0000", topic.name)), "it names a file: {message}");
    // The others went on, the new one too.
    let reached = stopped.report()["partitions"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(reached, ["0", "2"], "{stopped:#?}");

    lake.put(&state, content).await;
    run(&topic, &lake.url).report().await;
    assert_exactly_once(&topic, lake.download().await.path()).await;
    topic.verify(&lake.url).await;
}

#[tokio::test]
async fn a_damaged_state_object_stops_its_partition_alone_and_is_named() {
    let (topic, lake) = (Topic::empty(3).await, Lake::empty().await);
    topic.produce("--count 300 --invalid-ratio 0.05").await;
    run(&topic, &lake.url).report().await;
    let state = |partition| format!("_state/events/{}-{partition}.json", topic.name);
    let sound = std::fs::read(lake.download().await.path().join(state(1))).unwrap();
    let of_another = std::fs::read(lake.download().await.path().join(state(0))).unwrap();
    for damaged in [b"{".to_vec(), of_another] {
        lake.put(&state(1), damaged).await;
        topic.produce("--count 300 --invalid-ratio 0.05").await;
        let stopped = run(&topic, &lake.url).run().await;
        let message = stopped.failed_with(1);
        assert!(message.contains(&state(1)) && message.contains("restore it"), "{message}");
        let report = stopped.report();
        assert!(report["read"].as_u64() > Some(100), "{report}");
        assert_eq!(report["partitions"].as_object().unwrap().len(), 2, "{report}");
        assert_tools_do_the_others(&topic, &lake.url).await;
    }
    lake.put(&state(1), sound).await;
    run(&topic, &lake.url).report().await;
    assert_exactly_once(&topic, lake.download().await.path()).await;
}

#[tokio::test]
async fn a_file_that_was_replaced_stops_its_partition_alone_and_status_names_it() {
    let (topic, lake) = (Topic::empty(2).await, Lake::empty().await);
    topic.produce("--count 300 --from 2025-01-01 --to 2025-01-02").await;
    run(&topic, &lake.url).report().await;
    let (prefix, copy) = (format!("events/event_date=2025-01-01/{}-0-", topic.name), lake.download().await);
    let path = lake.versions().await.into_keys().find(|path| path.starts_with(&prefix)).unwrap();
    let content = std::fs::read(copy.path().join(&path)).unwrap();
    lake.put(&path, content).await;
    topic.produce("--count 300 --from 2025-01-01 --to 2025-01-02").await;

    let status = topic.tool("status", &lake.url).report().await;
    assert!(status["partitions"][0]["problem"].as_str().unwrap().contains(&path), "{status}");
    assert!(status["partitions"][1]["problem"].is_null(), "{status}");
    let stopped = run(&topic, &lake.url).run().await;
    assert!(stopped.failed_with(1).contains(&path), "{stopped:#?}");
    let report = stopped.report();
    assert!(report["read"].as_u64() > Some(50), "{report}");
    let lags = topic.tool("status", &lake.url).report().await["partitions"].clone();
    assert!(lags[0]["lag"].as_i64() > Some(50) && lags[1]["lag"] == 0, "{lags}");
}

/// Partition 1 has a damaged state object.
async fn assert_tools_do_the_others(topic: &Topic, lake: &str) {
    let verified = topic.tool("verify", lake).run().await;
    verified.failed_with(3);
    let proofs = verified.report()["partitions"].as_array().unwrap().clone();
    let differences: Vec<_> = proofs.iter().map(|proof| proof["differences"].clone()).collect();
    assert_eq!(differences, [json!({}), json!({"bad_state": 1}), json!({})], "{verified:#?}");
    assert!(proofs.iter().all(|proof| proof["partition"] == 1 || proof["records"].as_u64() > Some(50)));
    for (tool, argument) in [("replay-malformed", "--reason=undecodable"), ("compact", "--date=2020-01-01")] {
        let done = topic.tool(tool, lake).args([argument]).run().await;
        done.failed_with(1);
        let report = done.report();
        let failed = report["failed"].as_array().unwrap();
        assert!(failed.len() == 1 && failed[0]["partition"] == 1, "{report}");
        assert!(tool == "compact" || report["read"].as_u64() > Some(0), "the others were done: {report}");
    }
}

#[tokio::test]
async fn a_run_that_stays_goes_on_with_the_other_partitions_and_stops_when_it_is_told_to() {
    let (topic, lake) = (Topic::empty(2).await, Lake::empty().await);
    topic.produce("--count 200").await;
    run(&topic, &lake.url).report().await;
    let state = format!("_state/events/{}-0.json", topic.name);
    let sound = std::fs::read(lake.download().await.path().join(&state)).unwrap();
    lake.put(&state, b"{".to_vec()).await;
    let mut staying = run(&topic, &lake.url).args(["--every", "500ms"]).start();
    topic.produce("--count 200").await;
    let mut read = 0;
    while read == 0 {
        read += staying.next_report().await["read"].as_u64().unwrap();
    }
    if long() {
        // It tries the partition again after a minute.
        lake.put(&state, sound).await;
        while read < 200 {
            read += staying.next_report().await["read"].as_u64().unwrap();
        }
        assert_exactly_once(&topic, lake.download().await.path()).await;
        assert_eq!(staying.terminate().await.code, 0);
    } else {
        let stopped = staying.terminate().await;
        assert!(stopped.failed_with(1).contains("is damaged"), "{stopped:#?}");
    }
}

#[tokio::test]
async fn uploads_that_a_lifecycle_rule_aborts_after_their_commit_are_named_and_their_records_read_again() {
    for store in [Store::s3().await, Store::directory()] {
        let topic = Topic::empty(1).await;
        topic.produce("--count 600 --invalid-ratio 0.05 --from 2025-01-01 --to 2025-01-03").await;
        run(&topic, &store.url()).report().await;
        topic.produce("--count 600 --invalid-ratio 0.05 --from 2025-01-01 --to 2025-01-03").await;
        let killed = run(&topic, &store.url()).env("FAILPOINT", "committed=KILL").run().await;
        assert_eq!(killed.code, -1, "{killed:#?}");
        store.abort_unfinished().await;

        let stopped = run(&topic, &store.url()).run().await;
        let message = stopped.failed_with(1);
        assert!(message.contains("--on-lost-file skip") && message.contains("offsets from"), "{message}");
        let again = run(&topic, &store.url()).args(["--on-lost-file", "skip"]).report().await;
        assert_eq!(again["read"], 600, "{again}");
        assert_exactly_once(&topic, store.copy().await.path()).await;
        topic.verify(&store.url()).await;
    }
}
