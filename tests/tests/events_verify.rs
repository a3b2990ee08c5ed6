//! `pipeline-c verify`: a proof where all is well, and the name of everything that is not.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tests::fault_proxy::{Fault, FaultProxy, Match, When};
use tests::lake::Lake;
use tests::services;
use tests::shop::until;
use tests::topic::Topic;

const THREE_DAYS: &str =
    "--count 6000 --invalid-ratio 0.05 --odd-ratio 0.05 --from 2025-01-01 --to 2025-01-04";

/// A sum over all partitions.
fn total(report: &Value, field: &str) -> u64 {
    let partitions = report["partitions"].as_array().unwrap();
    partitions.iter().map(|partition| partition[field].as_u64().unwrap_or(0)).sum()
}

/// How many differences of a kind there are in all partitions.
fn differences(report: &Value, kind: &str) -> u64 {
    let partitions = report["partitions"].as_array().unwrap();
    partitions.iter().map(|partition| partition["differences"][kind].as_u64().unwrap_or(0)).sum()
}

/// A topic whose records are in a lake in a directory.
async fn consumed(folder: &TempDir) -> (Topic, String) {
    let (topic, lake) = (Topic::filled(THREE_DAYS).await, format!("file://{}", folder.path().display()));
    assert_eq!(topic.pipeline_c(&lake).report().await["read"], 6_000);
    (topic, lake)
}

/// The first data file of an output's folder of that number.
fn a_file(folder: &Path, table: &str, date: usize) -> PathBuf {
    let mut dates: Vec<_> =
        fs::read_dir(folder.join(table)).unwrap().map(|entry| entry.unwrap().path()).collect();
    dates.sort();
    let mut files: Vec<_> = fs::read_dir(&dates[date]).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.remove(0)
}

async fn differing(topic: &Topic, lake: &str) -> Value {
    let run = topic.tool("verify", lake).run().await;
    run.failed_with(3);
    let report = run.report();
    assert_eq!(report["clean"], false, "{report}");
    report
}

#[tokio::test]
async fn rows_and_records_are_counted_and_found_to_be_the_same_after_each_flush() {
    let (topic, lake) = (Topic::filled(THREE_DAYS).await, Lake::empty().await);
    for read in [6_000, 9_000] {
        let run = topic.pipeline_c(&lake.url).args(["--flush-rows", "700"]).report().await;
        let report = topic.verify(&lake.url).await;
        assert_eq!(total(&report, "records"), read, "{report}");
        assert_eq!(total(&report, "events") + total(&report, "malformed"), read, "{report}");
        assert!(total(&report, "malformed") >= run["quarantined"].as_u64().unwrap(), "{report}");
        assert_eq!(total(&report, "unproven_rows"), 0, "{report}");
        topic.produce("--count 3000 --invalid-ratio 0.02 --from 2025-01-02 --to 2025-01-05").await;
    }
}

#[tokio::test]
async fn an_instance_may_go_on_writing_meanwhile() {
    let (topic, lake) = (Topic::filled(THREE_DAYS).await, Lake::empty().await);
    let more = topic.producer("--rate 1000 --invalid-ratio 0.02").start();
    let mut staying = topic.pipeline_c(&lake.url).args(["--every", "3s"]).start();
    while staying.next_report().await["read"] == 0 {}
    for _ in 0..3 {
        topic.verify(&lake.url).await;
    }
    more.terminate().await;
    assert_eq!(staying.terminate().await.code, 0);
}

#[tokio::test]
async fn what_was_taken_away_added_or_changed_is_named() {
    let folder = TempDir::new().unwrap();
    let (topic, lake) = consumed(&folder).await;
    topic.verify(&lake).await;

    for table in ["events", "events_malformed"] {
        let file = a_file(folder.path(), table, 0);
        let aside = folder.path().join("aside");
        fs::rename(&file, &aside).unwrap();
        let report = differing(&topic, &lake).await;
        let missing = differences(&report, "missing");
        assert!(missing > 10, "{report}");
        assert_eq!(total(&report, "events") + total(&report, "malformed") + missing, 6_000, "{report}");
        fs::rename(&aside, &file).unwrap();
        topic.verify(&lake).await;

        // A copy under the name of an offset at which no file begins.
        let copy = file.with_file_name(
            file.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .replace(".parquet", "")
                .trim_end_matches(char::is_numeric)
                .to_owned()
                + "00000000000000099999.parquet",
        );
        fs::copy(&file, &copy).unwrap();
        let report = differing(&topic, &lake).await;
        assert_eq!(differences(&report, "doubled"), missing, "{report}");
        fs::remove_file(&copy).unwrap();

        let stray = file.with_file_name("part-00000.parquet");
        fs::copy(&file, &stray).unwrap();
        let report = differing(&topic, &lake).await;
        assert!(report["stray_files"][0].as_str().unwrap().ends_with("part-00000.parquet"), "{report}");
        fs::remove_file(&stray).unwrap();

        let content = fs::read(&file).unwrap();
        fs::write(&file, &content[..content.len() - 1]).unwrap();
        let report = differing(&topic, &lake).await;
        assert_eq!(
            (differences(&report, "bad_file"), differences(&report, "missing")),
            (1, missing),
            "{report}"
        );
        fs::write(&file, &content).unwrap();
        topic.verify(&lake).await;
    }
}

#[tokio::test]
async fn what_kafka_has_deleted_is_said_to_be_unproven_and_the_rest_is_proven() {
    let folder = TempDir::new().unwrap();
    let (topic, lake) = consumed(&folder).await;
    for partition in 0..topic.partitions {
        topic.delete_before(partition, 500).await;
    }
    let report = topic.verify(&lake).await;
    assert_eq!((total(&report, "records"), total(&report, "unproven_rows")), (4_000, 2_000), "{report}");
    assert_eq!(total(&report, "events") + total(&report, "malformed"), 4_000, "{report}");

    fs::remove_file(a_file(folder.path(), "events", 2)).unwrap();
    let report = differing(&topic, &lake).await;
    assert!(differences(&report, "missing") > 100, "{report}");
}

#[tokio::test]
async fn a_signal_ends_it_although_the_registry_does_not_answer() {
    let (topic, lake) = (Topic::filled("--count 100").await, Lake::empty().await);
    topic.pipeline_c(&lake.url).report().await;
    let address = services::registry();
    let (host, path) = address.trim_start_matches("http://").split_once('/').unwrap();
    let registry = FaultProxy::start(host.to_owned()).await;
    registry.fail(Fault::Hang, When::Before, Match::first("GET", "/schemas/ids/").times(99));
    let verify =
        topic.tool("verify", &lake.url).env("SCHEMA_REGISTRY_URL", &format!("{}/{path}", registry.url));
    let asking = verify.start();
    until(async || registry.struck() > 0, "it never asks").await;
    let ended = asking.terminate().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{ended:#?}");
}
