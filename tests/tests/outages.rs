//! Pipeline C and services that are not there: a clear error and nothing committed, or they are waited for.

use tests::events::assert_exactly_once;
use tests::fault_proxy::{Fault, FaultProxy, Match, When};
use tests::lake::Lake;
use tests::observer::Observer;
use tests::own_broker::OwnBroker;
use tests::program::Finished;
use tests::topic::Topic;
use tests::{long, services, unique_name};

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
async fn outages_of_the_registry_and_of_s3_are_waited_out_and_make_no_record_malformed() {
    let (topic, lake) = (Topic::filled("--count 3000").await, Lake::empty().await);
    let address = services::registry();
    let (host, path) = address.trim_start_matches("http://").split_once('/').unwrap();
    let registry = FaultProxy::start(host.to_owned()).await;
    for fault in [Fault::Reset, Fault::Status(500), Fault::Status(503)] {
        registry.fail(fault, When::Before, Match::first("GET", "/schemas/ids/").times(2));
    }
    let s3 = FaultProxy::start(services::s3()).await;
    for method in ["GET", "PUT", "POST"] {
        s3.fail(Fault::Reset, When::Before, Match::first(method, "").nth(3).times(3));
    }
    let observer = Observer::of(&lake.url).await;
    let through = format!("{}/{path}", registry.url);
    let run = topic.pipeline_c_at(&services::kafka(), &through, &lake.url);
    let run = run.env("AWS_ENDPOINT_URL", &s3.url).run().await;
    assert_eq!((run.code, run.report()["quarantined"].as_u64()), (0, Some(0)), "{run:#?}");
    assert!(run.stderr.contains("waiting for the schema registry"), "{}", run.stderr);
    assert_eq!((registry.struck(), s3.struck()), (6, 9));
    assert_eq!(observer.stop().await.rows, 3_000);
    assert_exactly_once(&topic, lake.download().await.path()).await;
    topic.verify(&lake.url).await;
}

/// Half a minute: it starts a broker of its own.
#[tokio::test]
async fn a_broker_that_is_killed_or_restarted_is_waited_for_by_the_producer_and_the_pipeline() {
    if !long() {
        return;
    }
    let (broker, lake) = (OwnBroker::start().await, Lake::empty().await);
    let topic = Topic::empty_at(&broker.address, 4).await;
    let observer = Observer::of(&lake.url).await;
    let more = topic.producer("--rate 1000 --invalid-ratio 0.02").start();
    let mut running = topic.pipeline_c(&lake.url).args(["--every", "300ms"]).start();
    for interruption in ["kill", "restart"] {
        let mut read = 0;
        while read < 2_000 {
            read += running.next_report().await["read"].as_u64().unwrap();
        }
        broker.services(&[interruption, "kafka"]).await;
        if interruption == "kill" {
            broker.services(&["restart", "kafka"]).await;
        }
        topic.produce("--count 500").await;
    }
    let mut read = 0;
    while read < 2_000 {
        read += running.next_report().await["read"].as_u64().unwrap();
    }
    let produced = more.terminate().await;
    assert_eq!(produced.code, 0, "{produced:#?}");
    let ended = running.terminate().await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    topic.pipeline_c(&lake.url).report().await;
    eprintln!("{:?}", observer.stop().await);
    assert_exactly_once(&topic, lake.download().await.path()).await;
    topic.verify(&lake.url).await;
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_named_at_once() {
    let (topic, lake) = (Topic::filled("--count 10").await, Lake::empty().await);
    let bucket = unique_name().replace('_', "-");
    let run = topic.pipeline_c(&format!("s3://{bucket}/lake")).run().await;
    assert_failed(&run, &lake, &[&bucket, "NoSuchBucket"]).await;
}
