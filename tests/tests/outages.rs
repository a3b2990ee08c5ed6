//! Pipeline C and services that are not there: a clear error, and nothing committed.

use tests::events::assert_exactly_once;
use tests::lake::Lake;
use tests::program::Finished;
use tests::topic::Topic;
use tests::{services, unique_name};

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:9";

/// Asserts that the run failed, said why, and left no data file.
async fn assert_failed(run: &Finished, lake: &Lake, said: &[&str]) {
    let message = run.failed_with(1);
    assert!(!message.contains("panicked"), "{message}");
    let report = run.report();
    let error = report["error"].as_str().unwrap();
    assert!(said.iter().all(|part| error.contains(part)), "{said:?} in {error}");
    assert_eq!(
        (report["status"].as_str(), report["written"].as_u64()),
        (Some("failed"), Some(0)),
        "{report}"
    );
    let files = lake.versions().await.into_keys().filter(|path| !path.starts_with("_state/"));
    assert_eq!(files.collect::<Vec<_>>(), Vec::<String>::new());
}

#[tokio::test]
async fn brokers_that_do_not_answer_are_named() {
    let (topic, lake) = (Topic::empty(1).await, Lake::empty().await);
    let run = topic.pipeline_c_at(NOWHERE, &services::registry(), &lake.url).run().await;
    assert_failed(&run, &lake, &[NOWHERE, &topic.name]).await;
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_named() {
    let (mut topic, lake) = (Topic::empty(1).await, Lake::empty().await);
    let real = std::mem::replace(&mut topic.name, unique_name());
    let run = topic.pipeline_c(&lake.url).run().await;
    assert_failed(&run, &lake, &[&topic.name, "does not exist", "--topic"]).await;
    topic.name = real;
}

#[tokio::test]
async fn a_registry_that_does_not_answer_makes_no_record_malformed() {
    let (topic, lake) = (Topic::filled("--count 200").await, Lake::empty().await);
    let gone = topic.pipeline_c_at(&services::kafka(), &format!("http://{NOWHERE}"), &lake.url);
    let run = gone.args(["--outage-limit", "2s"]).run().await;
    assert_failed(&run, &lake, &[NOWHERE, "registry"]).await;

    assert_eq!(topic.pipeline_c(&lake.url).report().await["quarantined"], 0);
    assert_exactly_once(&topic, lake.download().await.path()).await;
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_named_at_once() {
    let (topic, lake) = (Topic::filled("--count 10").await, Lake::empty().await);
    let bucket = unique_name().replace('_', "-");
    let run = topic.pipeline_c(&format!("s3://{bucket}/lake")).run().await;
    assert_failed(&run, &lake, &[&bucket, "NoSuchBucket"]).await;
}
