//! Pipeline C on Kafka, a registry and S3, record for record against a consumer and a decoder of the test's own.

use std::collections::{BTreeMap, HashMap};

use tempfile::TempDir;
use tests::events::{Events, FileName, assert_exactly_once};
use tests::http;
use tests::lake::Lake;
use tests::shop::until;
use tests::topic::Topic;

const EVENTS_COLUMNS: [(&str, &str); 7] = [
    ("event_id", "VARCHAR"),
    ("customer_id", "INTEGER"),
    ("event_type", "VARCHAR"),
    ("product_id", "INTEGER"),
    ("event_timestamp", "TIMESTAMP WITH TIME ZONE"),
    ("ingestion_timestamp", "TIMESTAMP WITH TIME ZONE"),
    ("event_date", "DATE"),
];

const MALFORMED_COLUMNS: [(&str, &str); 10] = [
    ("topic", "VARCHAR"),
    ("partition", "INTEGER"),
    ("offset", "BIGINT"),
    ("kafka_timestamp", "TIMESTAMP WITH TIME ZONE"),
    ("key", "BLOB"),
    ("value", "BLOB"),
    ("reason", "VARCHAR"),
    ("detail", "VARCHAR"),
    ("ingestion_timestamp", "TIMESTAMP WITH TIME ZONE"),
    ("ingest_date", "DATE"),
];

#[tokio::test]
async fn each_record_is_one_row_a_second_run_changes_nothing_and_more_records_do_not_make_more_files() {
    let five_days = "--count 20000 --invalid-ratio 0.03 --odd-ratio 0.05 --from 2025-01-01 --to 2025-01-06";
    let (topic, lake) = (Topic::filled(five_days).await, Lake::empty().await);
    let run = || topic.pipeline_c(&lake.url).report();

    let first = run().await;
    let found = assert_exactly_once(&topic, lake.download().await.path()).await;
    assert_eq!((first["status"].as_str(), first["read"].as_u64()), (Some("ok"), Some(20_000)), "{first}");
    assert_eq!(first["written"], found.rows.events.values().sum::<u64>(), "{first}");
    assert_eq!(first["quarantined"], found.rows.malformed.len(), "{first}");
    assert_eq!(first["files"], found.files.len() + found.malformed_files.len(), "{first}");
    assert_eq!(found.columns, owned(&EVENTS_COLUMNS));
    assert_eq!(found.malformed_columns, owned(&MALFORMED_COLUMNS));
    assert_names_and_footers_tell_the_offsets(&topic, &found).await;
    let started: chrono::DateTime<chrono::Utc> = first["started_at"].as_str().unwrap().parse().unwrap();
    let took = first["duration_ms"].as_i64().unwrap() * 1_000;
    let within = |at: &i64| (0..=took).contains(&(at - started.timestamp_micros()));
    assert!(found.ingested.iter().all(within), "ingested between {started} and {took} µs later");

    let before = lake.versions().await;
    let second = run().await;
    assert_eq!((second["status"].as_str(), second["read"].as_u64()), (Some("idle"), Some(0)), "{second}");
    assert_eq!(data_files(&lake.versions().await), data_files(&before));

    let mut files = found.files_by_date();
    assert!(files.values().all(|count| *count <= 4), "one a partition: {files:?}");
    for count in ["3000", "100"] {
        let more = format!("--count {count} --invalid-ratio 0.03 --from 2025-01-01 --to 2025-01-06");
        topic.produce(&more).await;
        assert_eq!(run().await["read"].to_string(), count);
        let found = assert_exactly_once(&topic, lake.download().await.path()).await;
        assert_names_and_footers_tell_the_offsets(&topic, &found).await;
        let mut now = found.files_by_date();
        now.retain(|date, _| files.contains_key(date));
        assert_eq!(std::mem::replace(&mut files, now.clone()), now, "the tail is rewritten");
    }
}

#[tokio::test]
async fn a_lake_in_a_directory_gets_the_same_rows() {
    let topic = Topic::filled("--count 4000 --invalid-ratio 0.04 --key customer-id").await;
    let folder = TempDir::with_prefix("tributary lake ").unwrap();
    let url = format!("file://{}", folder.path().to_str().unwrap().replace(' ', "%20"));
    assert_eq!(topic.pipeline_c(&url).report().await["read"], 4_000);
    assert_exactly_once(&topic, folder.path()).await;
    topic.produce("--count 500").await;
    assert_eq!(topic.pipeline_c(&url).report().await["read"], 500);
    assert_exactly_once(&topic, folder.path()).await;
    assert_eq!(topic.pipeline_c(&url).report().await["status"], "idle");
}

#[tokio::test]
async fn a_batch_above_the_ratio_is_refused_as_a_whole_where_that_is_asked_for_and_taken_where_it_is_not() {
    let (topic, lake) = (Topic::filled("--count 2000 --invalid-ratio 0.2").await, Lake::empty().await);
    let refused = topic.pipeline_c(&lake.url).args(["--on-malformed", "halt"]).run().await;
    let message = refused.failed_with(3);
    assert!(message.contains("--max-malformed-ratio 0.05"), "{message}");
    let report = refused.report();
    assert_eq!(
        (report["status"].as_str(), report["written"].as_u64()),
        (Some("refused"), Some(0)),
        "{report}"
    );
    assert_eq!(data_files(&lake.versions().await), BTreeMap::new());
    assert_eq!(next_offsets(&lake, &topic).await, 0);

    let taken = topic.pipeline_c(&lake.url).run().await;
    assert_eq!(taken.report()["read"], 2_000);
    assert!(taken.stderr.contains("ALERT: too many malformed records"), "{}", taken.stderr);
    assert_eq!(taken.stderr.matches("malformed record partition").count(), 5, "samples: {}", taken.stderr);
    assert_exactly_once(&topic, lake.download().await.path()).await;
    assert_eq!(next_offsets(&lake, &topic).await, 2_000);
}

#[tokio::test]
async fn a_run_that_stays_shows_new_events_at_its_interval_and_ends_cleanly() {
    let (topic, lake) = (Topic::filled("--count 500 --invalid-ratio 0.02").await, Lake::empty().await);
    let mut staying = topic.pipeline_c(&lake.url).args(["--every", "2s"]).start();
    for wanted in [500, 300] {
        let mut read = 0;
        while read < wanted {
            read += staying.next_report().await["read"].as_u64().unwrap();
        }
        assert_exactly_once(&topic, lake.download().await.path()).await;
        topic.produce("--count 300 --invalid-ratio 0.02").await;
    }
    let ended = staying.terminate().await;
    assert_eq!(ended.code, 0, "{ended:#?}");

    // The last 300 may have come after the signal, but nothing comes twice.
    topic.pipeline_c(&lake.url).report().await;
    assert_exactly_once(&topic, lake.download().await.path()).await;
    assert_eq!(topic.pipeline_c(&lake.url).report().await["status"], "idle");
}

#[tokio::test]
async fn a_signal_makes_visible_what_was_read_before_it() {
    let (topic, lake) = (Topic::filled("--count 1000").await, Lake::empty().await);
    let port = free_port().await;
    let staying = topic.pipeline_c(&lake.url).args(["--every", "1h", "--flush-interval", "1h"]);
    let staying = staying.args(["--metrics-listen", &port]).start();
    let buffered = async || {
        if tokio::net::TcpStream::connect(&port).await.is_err() {
            return false;
        }
        let metrics = http::get(&port, "/metrics").await.body;
        let bytes = metrics.lines().find_map(|line| line.strip_prefix("tributary_buffered_bytes "));
        bytes.is_some_and(|bytes| bytes.parse::<f64>().unwrap() > 0.0)
    };
    until(buffered, "the events are not read").await;
    assert_eq!(data_files(&lake.versions().await), BTreeMap::new(), "an hour has not passed");
    let ended = staying.terminate().await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    let report: serde_json::Value = serde_json::from_str(ended.stdout.lines().next().unwrap()).unwrap();
    let read = report["read"].as_u64().unwrap();
    assert!(read > 0, "{report}");
    assert_eq!(report["written"], read, "what was read is visible, before its hour: {report}");

    let rest = topic.pipeline_c(&lake.url).report().await;
    assert_eq!(read + rest["read"].as_u64().unwrap(), 1_000);
    assert_exactly_once(&topic, lake.download().await.path()).await;
}

async fn assert_names_and_footers_tell_the_offsets(topic: &Topic, found: &Events) {
    // The producer's keys are the events' ids.
    let records = topic.records().await;
    let text = |key: &Option<Vec<u8>>| String::from_utf8(key.clone().unwrap_or_default()).unwrap();
    let offsets: HashMap<String, i64> =
        records.iter().map(|record| (text(&record.key), record.offset)).collect();
    for (file, events) in &found.files {
        let name = FileName::parse(file, "event_date");
        let inside = events.iter().map(|id| offsets[id]);
        let (first, last) = (inside.clone().min().unwrap(), inside.max().unwrap());
        assert_eq!((&name.topic, name.first_offset), (&topic.name, first), "{file}");
        let label = |key: &str| found.labels[&(file.clone(), format!("tributary.{key}"))].clone();
        assert_eq!(label("topic"), topic.name, "{file}");
        assert_eq!(label("partition"), name.partition.to_string(), "{file}");
        assert_eq!(
            (label("first_offset"), label("last_offset")),
            (first.to_string(), last.to_string()),
            "{file}"
        );
        assert!(!label("commit").is_empty(), "{file}");
    }
}

/// All objects but those of `_state`.
fn data_files(versions: &BTreeMap<String, String>) -> BTreeMap<&String, &String> {
    versions.iter().filter(|(path, _)| !path.starts_with("_state/")).collect()
}

/// The sum of the next offsets that the state objects hold.
async fn next_offsets(lake: &Lake, topic: &Topic) -> i64 {
    let folder = lake.download().await;
    let next = |partition: i32| {
        let path = folder.path().join(format!("_state/events/{}-{partition}.json", topic.name));
        let state: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).unwrap();
        assert_eq!(state["pending"], serde_json::json!([]), "{state}");
        state["next_offset"].as_i64()
    };
    (0..topic.partitions).filter_map(next).sum()
}

fn owned(columns: &[(&str, &str)]) -> Vec<(String, String)> {
    columns.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
}

/// An address on which nobody listens.
async fn free_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}
