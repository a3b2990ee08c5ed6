//! `pipeline-c status`: where each partition is, with and without Kafka, and what will stop the next run.

use std::fs;

use tempfile::TempDir;
use tests::topic::Topic;

#[tokio::test]
async fn a_partition_shows_how_far_it_is_and_what_is_open() {
    let folder = TempDir::new().unwrap();
    let (topic, lake) = (
        Topic::filled("--count 2000 --invalid-ratio 0.02").await,
        format!("file://{}", folder.path().display()),
    );
    let before = topic.tool("status", &lake).report().await;
    assert_eq!((before["lag"].as_i64(), before["last_run"].is_null()), (Some(2_000), true), "{before}");
    assert_eq!(before["partitions"].as_array().unwrap().len(), 4, "{before}");

    let run = topic.pipeline_c(&lake).report().await;
    topic.produce("--count 300").await;
    let status = topic.tool("status", &lake).report().await;
    assert_eq!(status["lag"], 300, "{status}");
    assert_eq!(status["last_run"]["run_id"], run["run_id"], "{status}");
    assert!(status["freshness_ms"].as_i64().unwrap() > 0, "{status}");
    let (mut rows, mut ends) = (0, 0);
    for partition in status["partitions"].as_array().unwrap() {
        let number = |field: &str| partition[field].as_i64().unwrap();
        assert_eq!(run["partitions"][number("partition").to_string()], number("next_offset"), "{status}");
        assert_eq!(number("end_offset") - number("next_offset"), number("lag"), "{status}");
        assert_eq!(partition["pending"].as_array().unwrap().len(), 0, "{status}");
        for file in partition["open"].as_array().unwrap() {
            let size = fs::metadata(folder.path().join(file["path"].as_str().unwrap())).unwrap().len();
            assert_eq!(file["bytes"], size, "{status}");
            rows += file["rows"].as_i64().unwrap();
        }
        ends += number("end_offset");
    }
    assert_eq!((rows, ends), (2_000, 2_300), "{status}");
}

#[tokio::test]
async fn without_kafka_the_rest_is_shown() {
    let folder = TempDir::new().unwrap();
    let (topic, lake) = (Topic::filled("--count 400").await, format!("file://{}", folder.path().display()));
    topic.pipeline_c(&lake).report().await;
    let status = topic.tool("status", &lake).env("KAFKA_BROKERS", "127.0.0.1:9").report().await;
    assert!(status["kafka_error"].as_str().unwrap().contains("127.0.0.1:9"), "{status}");
    let next: i64 =
        status["partitions"].as_array().unwrap().iter().map(|p| p["next_offset"].as_i64().unwrap()).sum();
    assert_eq!((next, status["lag"].is_null()), (400, true), "{status}");
    assert_eq!(status["last_run"]["read"], 400, "{status}");
}

#[tokio::test]
async fn a_damaged_state_one_of_a_newer_version_and_a_gap_are_named_and_left_as_they_are() {
    let folder = TempDir::new().unwrap();
    let (topic, lake) = (Topic::filled("--count 400").await, format!("file://{}", folder.path().display()));
    topic.pipeline_c(&lake).report().await;
    let state = |partition: i32| folder.path().join(format!("_state/events/{}-{partition}.json", topic.name));
    let (damaged, newer) = (fs::read_to_string(state(0)).unwrap(), fs::read_to_string(state(1)).unwrap());
    fs::write(state(0), &damaged[..damaged.len() / 2]).unwrap();
    fs::write(state(1), newer.replace("\"version\":1", "\"version\":99")).unwrap();
    topic.produce("--count 400").await;
    topic.delete_before(2, 150).await;

    let status = topic.tool("status", &lake).report().await;
    let partition = |number: usize| &status["partitions"][number];
    assert!(partition(0)["error"].as_str().unwrap().contains("is damaged"), "{status}");
    assert!(partition(1)["error"].as_str().unwrap().contains("version 99"), "{status}");
    assert!(partition(2)["problem"].as_str().unwrap().contains("--on-gap skip"), "{status}");
    assert!(partition(3)["problem"].is_null() && partition(3)["error"].is_null(), "{status}");

    // The job says the same.
    let (cut, newest) = (damaged[..9].to_owned(), newer.replace("\"version\":1", "\"version\":99"));
    fs::write(state(1), newer).unwrap();
    for (text, said) in [(cut, "restore it"), (newest, "use the newer")] {
        fs::write(state(0), &text).unwrap();
        let run = topic.pipeline_c(&lake).args(["--on-gap", "skip"]).run().await;
        assert!(run.failed_with(1).contains(said), "{run:#?}");
        assert_eq!(fs::read_to_string(state(0)).unwrap(), text);
    }
}

#[tokio::test]
async fn what_is_committed_and_not_visible_is_told_and_so_is_what_can_never_be() {
    let folder = TempDir::new().unwrap();
    let (topic, lake) = (Topic::empty(1).await, format!("file://{}", folder.path().display()));
    topic.produce("--count 300 --from 2025-01-01 --to 2025-01-03").await;
    let killed = topic.pipeline_c(&lake).env("FAILPOINT", "committed=KILL").run().await;
    assert_eq!(killed.code, -1, "{killed:#?}");
    let status = topic.tool("status", &lake).report().await;
    let partition = &status["partitions"][0];
    assert_eq!((&partition["next_offset"], &partition["lag"]), (&300.into(), &0.into()), "{status}");
    assert!(
        partition["newest_visible_at"].is_null() && !partition["newest_committed_at"].is_null(),
        "{status}"
    );
    assert!(partition["problem"].is_null() && status["freshness_ms"].is_null(), "{status}");
    let pending = partition["pending"].as_array().unwrap();
    assert!(pending.len() > 1 && pending.iter().all(|file| file["visible"] == false), "{status}");

    for entry in fs::read_dir(folder.path().join("_staging")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let lost = topic.tool("status", &lake).report().await;
    let problem = lost["partitions"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("--on-lost-file skip"), "{lost}");
}

#[tokio::test]
async fn files_that_a_command_is_about_to_remove_are_told() {
    let folder = TempDir::new().unwrap();
    let (topic, lake) = (Topic::empty(1).await, format!("file://{}", folder.path().display()));
    for _ in 0..2 {
        topic.produce("--count 100 --from 2025-01-01 --to 2025-01-02").await;
        topic.pipeline_c(&lake).args(["--tail", "append"]).report().await;
    }
    let killed = topic.tool("compact", &lake).env("FAILPOINT", "move-added=KILL").run().await;
    assert_eq!(killed.code, -1, "{killed:#?}");
    let status = topic.tool("status", &lake).report().await;
    let removals = status["partitions"][0]["removals"].as_array().unwrap();
    assert_eq!((removals.len(), &removals[0]["gone"]), (1, &false.into()), "{status}");
    topic.pipeline_c(&lake).report().await;
    let status = topic.tool("status", &lake).report().await;
    assert_eq!(status["partitions"][0]["removals"].as_array().unwrap().len(), 0, "{status}");
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_told_before_a_run_stops_at_it() {
    let folder = TempDir::new().unwrap();
    let (topic, lake) = (Topic::filled("--count 200").await, format!("file://{}", folder.path().display()));
    topic.pipeline_c(&lake).report().await;
    topic.make_anew().await;
    topic.produce("--count 800").await;
    let status = topic.tool("status", &lake).report().await;
    let told = status["partitions"].as_array().unwrap().iter().filter_map(|p| p["problem"].as_str());
    assert!(
        told.clone().count() > 0 && told.clone().all(|p| p.contains("--on-new-topic restart")),
        "{status}"
    );
}
