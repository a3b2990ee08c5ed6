//! `pipeline-c compact`: fewer files, the same rows.

use tests::events::{Events, assert_exactly_once};
use tests::lake::Lake;
use tests::topic::Topic;

/// With a batch a second; the promise is 120 s with a batch every 30 s.
const FRESHEST_MS: i64 = 10_000;

/// Several files a partition and date.
async fn in_small_files(lake: &Lake) -> Topic {
    let topic = Topic::empty(2).await;
    for _ in 0..3 {
        append(&topic, lake).await;
    }
    topic
}

async fn append(topic: &Topic, lake: &Lake) {
    topic.produce("--count 400 --invalid-ratio 0.1 --from 2025-01-01 --to 2025-01-04").await;
    topic.pipeline_c(&lake.url).args(["--tail", "append"]).report().await;
}

#[tokio::test]
async fn each_past_date_gets_one_file_a_partition_and_the_same_rows() {
    let lake = Lake::empty().await;
    let topic = in_small_files(&lake).await;
    let before = assert_exactly_once(&topic, lake.download().await.path()).await;
    assert!(before.files_by_date().values().any(|files| *files > 2), "{:?}", before.files_by_date());

    let one = topic.tool("compact", &lake.url).args(["--date", "2025-01-02"]).report().await;
    assert_eq!((one["merged"].as_u64(), one["written"].as_u64()), (Some(6), Some(2)), "{one}");
    // Today's folders are open, and so is the folder of malformed records.
    let all = topic.tool("compact", &lake.url).report().await;
    assert!(all["merged"].as_u64() > Some(0), "{all}");
    let after = assert_exactly_once(&topic, lake.download().await.path()).await;
    for (date, files) in after.files_by_date().into_iter().filter(|(date, _)| date.contains("2025-01")) {
        assert_eq!(files, 2, "{date}");
    }
    assert_eq!(after.malformed_files.len(), before.malformed_files.len());
    let again = topic.tool("compact", &lake.url).report().await;
    assert_eq!(again["merged"], 0, "{again}");

    let malformed = topic.tool("compact", &lake.url).args(["--before", "9999-01-01"]).report().await;
    assert!(malformed["merged"].as_u64() > Some(0), "{malformed}");
    topic.verify(&lake.url).await;
    append(&topic, &lake).await;
    assert_exactly_once(&topic, lake.download().await.path()).await;
}

#[tokio::test]
async fn killed_at_any_step_it_is_finished_by_the_next_owner_and_no_row_is_ever_in_no_file() {
    let lake = Lake::empty().await;
    let topic = in_small_files(&lake).await;
    let mut records = 1_200;
    for step in ["move-staged", "move-committed", "move-added", "move-left", "move-published"] {
        let killed = topic.tool("compact", &lake.url).env("FAILPOINT", &format!("{step}=KILL@2")).run().await;
        assert_eq!(killed.code, -1, "{step}: {killed:#?}");
        let seen = Events::read(lake.download().await.path()).await.rows;
        // Each of them; some are there twice.
        assert_eq!(seen.events.len() + seen.malformed.len(), records, "{step}");

        // A run claims the partitions, so it finishes what is committed.
        append(&topic, &lake).await;
        records += 400;
        assert_exactly_once(&topic, lake.download().await.path()).await;
    }
    topic.tool("compact", &lake.url).report().await;
    topic.verify(&lake.url).await;
}

#[tokio::test]
async fn an_instance_at_work_keeps_its_freshness_while_the_files_that_it_writes_are_merged() {
    let (lake, count) = (Lake::empty().await, 3_000);
    let topic = in_small_files(&lake).await;
    let mut staying = topic.pipeline_c(&lake.url).args(["--every", "500ms"]).start();
    let dates = "--from 2025-01-01 --to 2025-01-04 --invalid-ratio 0.1";
    let more = topic.producer(&format!("--rate 300 --count {count} {dates}")).start();
    let merging = async {
        let mut merged = 0;
        for _ in 0..8 {
            merged += topic.tool("compact", &lake.url).report().await["merged"].as_u64().unwrap();
        }
        merged
    };
    let reading = async {
        let mut read = 0;
        while read < count {
            let report = staying.next_report().await;
            assert!(report["error"].is_null(), "{report}");
            assert!(report["freshness_ms"].as_i64().unwrap_or(0) < FRESHEST_MS, "{report}");
            read += report["read"].as_u64().unwrap();
        }
    };
    let (merged, ()) = tokio::join!(merging, reading);
    assert!(merged > 12, "{merged}");
    assert_eq!(more.wait().await.code, 0);
    let ended = staying.terminate().await;
    assert!(ended.code == 0 && !ended.stderr.contains("was taken over"), "{ended:#?}");
    assert_exactly_once(&topic, lake.download().await.path()).await;
    topic.verify(&lake.url).await;
}

#[tokio::test]
async fn a_signal_ends_it_after_the_step_that_is_being_committed_and_nothing_is_left_in_two_files() {
    let lake = Lake::empty().await;
    let topic = in_small_files(&lake).await;
    for (step, merges) in [("upload_begun", 0), ("move-committed", 1), ("move-added", 1)] {
        let stopped = topic.tool("compact", &lake.url).env("FAILPOINT", &format!("{step}=STOP")).start();
        stopped.until_stopped().await;
        let ended = stopped.terminate_as_it_wakes().await;
        assert_eq!(ended.code, 0, "{step}: {ended:#?}");
        let report = ended.report();
        assert_eq!(
            (report["written"].as_u64(), &report["interrupted"]),
            (Some(merges), &true.into()),
            "{report}"
        );
        assert_exactly_once(&topic, lake.download().await.path()).await;
        topic.verify(&lake.url).await;
    }
    topic.tool("compact", &lake.url).report().await;
    topic.verify(&lake.url).await;
}
