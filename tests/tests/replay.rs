//! `pipeline-c replay-malformed`: what can be read now moves, whatever is killed, and nothing else does.

use serde_json::json;
use tempfile::TempDir;
use tests::events::{Events, assert_exactly_once};
use tests::lake::Lake;
use tests::services;
use tests::topic::Topic;

/// A run whose registry has no schema at all: what it reads is malformed until a schema is registered.
async fn consumed_without_schemas(topic: &Topic, lake: &Lake, events: u64) {
    topic.produce(&format!("--count {events} --odd-ratio 0.1 --from 2025-01-01 --to 2025-01-04")).await;
    let registry = TempDir::new().unwrap();
    let registry = format!("dir:{}", registry.path().display());
    let run = topic.pipeline_c_at(&services::kafka(), &registry, &lake.url).report().await;
    assert_eq!((&run["read"], &run["quarantined"]), (&json!(events), &json!(events)), "{run}");
}

#[tokio::test]
async fn what_can_be_read_by_now_moves_to_events_and_the_rest_stays() {
    let (topic, lake) = (Topic::filled("--count 1000 --invalid-ratio 0.1").await, Lake::empty().await);
    let bad = topic.pipeline_c(&lake.url).report().await["quarantined"].as_u64().unwrap();
    consumed_without_schemas(&topic, &lake, 800).await;
    assert_eq!(topic.verify(&lake.url).await["partitions"].as_array().unwrap().len(), 4);

    let other = topic.tool("replay-malformed", &lake.url).args(["--reason", "not_framed"]).report().await;
    assert_eq!(other["moved"], 0, "{other}");
    let other = topic.tool("replay-malformed", &lake.url).args(["--to", "2020-01-01"]).report().await;
    assert_eq!(other["read"], 0, "{other}");

    let replayed = topic.tool("replay-malformed", &lake.url).report().await;
    assert_eq!((&replayed["read"], &replayed["moved"]), (&json!(800 + bad), &json!(800)), "{replayed}");
    let still = replayed["still_malformed"].as_object().unwrap();
    assert_eq!(still.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), bad, "{replayed}");
    assert_exactly_once(&topic, lake.download().await.path()).await;
    topic.verify(&lake.url).await;

    let again = topic.tool("replay-malformed", &lake.url).report().await;
    assert_eq!((&again["read"], &again["moved"]), (&json!(bad), &json!(0)), "{again}");
    topic.produce("--count 500 --invalid-ratio 0.1 --from 2025-01-02 --to 2025-01-03").await;
    assert_eq!(topic.pipeline_c(&lake.url).report().await["read"], 500);
    assert_exactly_once(&topic, lake.download().await.path()).await;
}

#[tokio::test]
async fn a_file_all_of_whose_records_moved_is_gone() {
    let (topic, lake) = (Topic::empty(4).await, Lake::empty().await);
    consumed_without_schemas(&topic, &lake, 400).await;
    assert_eq!(topic.tool("replay-malformed", &lake.url).report().await["moved"], 400);
    let found = assert_exactly_once(&topic, lake.download().await.path()).await;
    assert_eq!(found.malformed_files, Vec::<String>::new());
    topic.verify(&lake.url).await;
}

#[tokio::test]
async fn killed_at_any_step_nothing_is_in_neither_output_and_the_end_is_the_same() {
    let (topic, lake) = (Topic::filled("--count 300 --invalid-ratio 0.1").await, Lake::empty().await);
    topic.pipeline_c(&lake.url).report().await;
    let mut records = 300;
    let steps = ["move-staged", "move-committed", "move-added", "move-left", "move-published"];
    for (round, step) in steps.into_iter().enumerate() {
        consumed_without_schemas(&topic, &lake, 200).await;
        records += 200;
        let killed =
            topic.tool("replay-malformed", &lake.url).env("FAILPOINT", &format!("{step}=KILL")).run().await;
        assert_eq!(killed.code, -1, "{step}: {killed:#?}");

        let seen = Events::read(lake.download().await.path()).await.rows;
        let rows = seen.events.values().sum::<u64>() + u64::try_from(seen.malformed.len()).unwrap();
        assert!(rows >= records, "{step}: {rows} of {records}");
        assert!(seen.events.values().all(|count| *count == 1), "{step}: an event is there twice");
        let proof = topic.tool("verify", &lake.url).run().await;
        assert_eq!(rows > records, proof.stdout.contains("\"in_both\""), "{step}: {proof:#?}");

        // Whoever owns the partition next finishes what is committed: the job itself, or another replay.
        if round % 2 == 0 {
            topic.pipeline_c(&lake.url).report().await;
        }
        topic.tool("replay-malformed", &lake.url).report().await;
        topic.verify(&lake.url).await;
    }
    assert_exactly_once(&topic, lake.download().await.path()).await;
}

#[tokio::test]
async fn an_instance_at_work_goes_on() {
    let (topic, lake) = (Topic::empty(2).await, Lake::empty().await);
    consumed_without_schemas(&topic, &lake, 300).await;
    let mut staying = topic.pipeline_c(&lake.url).args(["--every", "1s"]).start();
    topic.produce("--count 200 --invalid-ratio 0.05").await;
    while staying.next_report().await["read"] == 0 {}
    assert_eq!(topic.tool("replay-malformed", &lake.url).report().await["moved"], 300);
    topic.produce("--count 200 --invalid-ratio 0.05").await;
    let mut read = 0;
    while read < 200 {
        let report = staying.next_report().await;
        assert!(report["error"].is_null(), "{report}");
        read += report["read"].as_u64().unwrap();
    }
    staying.terminate().await;
    assert_exactly_once(&topic, lake.download().await.path()).await;
    topic.verify(&lake.url).await;
}

#[tokio::test]
async fn a_signal_ends_it_after_the_step_that_is_being_committed() {
    let (topic, lake) = (Topic::empty(1).await, Lake::empty().await);
    consumed_without_schemas(&topic, &lake, 300).await;
    for (step, moved) in [("upload_begun", 0), ("move-committed", 300)] {
        let stopped =
            topic.tool("replay-malformed", &lake.url).env("FAILPOINT", &format!("{step}=STOP")).start();
        stopped.until_stopped().await;
        let ended = stopped.terminate_as_it_wakes().await;
        assert_eq!(ended.code, 0, "{step}: {ended:#?}");
        let report = ended.report();
        assert_eq!((&report["moved"], &report["interrupted"]), (&json!(moved), &json!(true)), "{report}");
        let rows = Events::read(lake.download().await.path()).await.rows;
        assert_eq!((rows.events.len(), rows.malformed.len()), (moved, 300 - moved), "{step}");
    }
    topic.verify(&lake.url).await;
}

/// What is malformed for another reason, now that there is a schema, says so.
#[tokio::test]
async fn records_that_stay_show_the_reason_that_holds_now() {
    let (topic, lake) = (Topic::empty(2).await, Lake::empty().await);
    topic.produce("--count 400 --invalid-ratio 0.3 --from 2025-01-01 --to 2025-01-04").await;
    let nothing = TempDir::new().unwrap();
    let registry = format!("dir:{}", nothing.path().display());
    topic.pipeline_c_at(&services::kafka(), &registry, &lake.url).report().await;
    let replayed = topic.tool("replay-malformed", &lake.url).report().await;
    assert!(replayed["other_reason"].as_u64() > Some(0), "{replayed}");
    assert!(replayed["still_malformed"]["undecodable"].as_u64() > Some(0), "{replayed}");
    // Compares reasons, too.
    assert_exactly_once(&topic, lake.download().await.path()).await;
    topic.verify(&lake.url).await;
    assert_eq!(topic.tool("replay-malformed", &lake.url).report().await["other_reason"], 0);
}
