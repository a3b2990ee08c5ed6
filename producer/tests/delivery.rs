//! `events` to a real TCP listener: librdkafka's own mock cluster.
#![allow(clippy::unwrap_used)] // in what tests share, too, it fails the test

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Parser;
use common::run::{Clock, Shutdown, Stopwatch};
use producer::{Cli, Command, EventsConfig, Kind, Progress, events};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedMessage;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tempfile::TempDir;

const TOPIC: &str = "customer_events";
const PARTITIONS: i32 = 3;

struct Kafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
    registry: TempDir,
}

impl Kafka {
    fn start() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
        Self { cluster, registry: tempfile::tempdir().unwrap() }
    }

    fn config(&self, more: &[&str]) -> EventsConfig {
        let (brokers, registry) =
            (self.cluster.bootstrap_servers(), format!("dir:{}", self.registry.path().display()));
        let line = ["producer", "events", "--brokers", &brokers, "--registry", &registry];
        match Cli::try_parse_from(line.iter().chain(more)).unwrap().command {
            Command::Events(config) => config,
            other => panic!("{other:?}"),
        }
    }

    fn consumer(&self) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.cluster.bootstrap_servers()).set("group.id", "test");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut all = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            all.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&all).unwrap();
        consumer
    }
}

fn receive(consumer: &BaseConsumer, count: u64) -> Vec<OwnedMessage> {
    let watch = Stopwatch::start();
    let next = |_| loop {
        // An error says that the broker is away.
        if let Some(Ok(message)) = consumer.poll(Duration::from_secs(1)) {
            return message.detach();
        }
        assert!(watch.elapsed() < Duration::from_secs(20), "the records within 20 s");
    };
    (0..count).map(next).collect()
}

fn clock() -> Clock {
    Clock::fixed("2025-12-12T10:30:00Z".parse::<DateTime<Utc>>().unwrap())
}

#[tokio::test]
async fn every_record_arrives_as_the_summary_says() {
    let kafka = Kafka::start();
    let config = kafka.config(&["--count", "5000", "--invalid-ratio", "0.2", "--from", "2025-12-01"]);
    let summary = events(&config, &clock(), &Shutdown::manual(), &Progress::Hidden).await.unwrap();
    assert_eq!((summary.sent, summary.delivered, summary.failed), (5_000, 5_000, 0), "{summary}");
    assert_eq!(summary.kinds.values().sum::<u64>(), 5_000);
    assert_eq!(summary.kinds.len(), 17, "each kind occurs: {summary}");
    assert!((800..1_200).contains(&summary.malformed()), "{summary}");

    let received = receive(&kafka.consumer(), 5_000);
    let count =
        |wanted: fn(&OwnedMessage) -> bool| received.iter().filter(|message| wanted(message)).count() as u64;
    assert_eq!(count(|message| message.payload().is_none()), summary.kinds[&Kind::NotFramedTombstone]);
    assert_eq!(
        count(|message| message.payload().is_some_and(|value| value.len() < 5)),
        summary.kinds[&Kind::NotFramedShort]
    );
    assert_eq!(count(|message| message.key().is_none()), summary.kinds[&Kind::EventIdNull]);
    // The schemas took the ids 1 and 2 in the empty registry.
    let nullable = summary.kinds[&Kind::EventIdNull] + summary.kinds[&Kind::EventTypeNull];
    assert_eq!(
        count(|message| message.payload().is_some_and(|value| value.starts_with(&[0, 0, 0, 0, 2]))),
        nullable
    );
    for partition in 0..PARTITIONS {
        assert!(
            received.iter().any(|message| message.partition() == partition),
            "partition {partition} is empty"
        );
    }
}

#[tokio::test]
async fn keyed_by_customer_a_customer_stays_in_one_partition() {
    let kafka = Kafka::start();
    let config = kafka.config(&["--count", "300", "--key", "customer-id", "--customers", "5"]);
    events(&config, &clock(), &Shutdown::manual(), &Progress::Hidden).await.unwrap();
    let mut places: Vec<_> = receive(&kafka.consumer(), 300)
        .iter()
        .map(|message| (message.key().unwrap().to_vec(), message.partition()))
        .collect();
    places.sort();
    places.dedup();
    assert_eq!(places.len(), 5, "{places:?}");
}

#[tokio::test]
async fn without_a_count_it_goes_on_until_stopped_and_then_all_are_delivered() {
    let kafka = Kafka::start();
    let shutdown = Shutdown::manual();
    let consumer = kafka.consumer();
    let stop = shutdown.clone();
    let watcher = tokio::task::spawn_blocking(move || {
        receive(&consumer, 20);
        stop.request();
    });
    let config = kafka.config(&["--rate", "1000"]);
    let summary = events(&config, &clock(), &shutdown, &Progress::Hidden).await.unwrap();
    watcher.await.unwrap();
    assert!(summary.sent >= 20 && summary.delivered == summary.sent && summary.failed == 0, "{summary}");
}

#[tokio::test]
async fn records_that_the_broker_refuses_are_counted_as_failed() {
    let kafka = Kafka::start();
    // The broker goes away between the first answer and the records, and they are given up after 1 s.
    let config =
        kafka.config(&["--count", "2000", "--rate", "1000", "--kafka-config", "message.timeout.ms=1000"]);
    let consumer = kafka.consumer();
    let sending =
        tokio::spawn(async move { events(&config, &clock(), &Shutdown::manual(), &Progress::Hidden).await });
    tokio::task::spawn_blocking(move || receive(&consumer, 1)).await.unwrap();
    kafka.cluster.broker_down(1).unwrap();
    let summary = sending.await.unwrap().unwrap();
    assert_eq!((summary.sent, summary.delivered + summary.failed), (2_000, 2_000), "{summary}");
    assert!(summary.failed > 0 && summary.first_failure.is_some(), "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_goes_away_and_comes_back_gets_every_record_once() {
    const COUNT: u64 = 3_000;
    let kafka = Kafka::start();
    let config =
        kafka.config(&["--count", "3000", "--rate", "1500", "--kafka-config", "reconnect.backoff.ms=10"]);
    let consumer = kafka.consumer();
    let sending =
        tokio::spawn(async move { events(&config, &clock(), &Shutdown::manual(), &Progress::Hidden).await });
    let mut messages = Vec::new();
    for wanted in [200; 5] {
        let (consumer, cluster) = (&consumer, &kafka.cluster);
        messages.extend(tokio::task::block_in_place(|| receive(consumer, wanted)));
        cluster.broker_down(1).unwrap();
        cluster.broker_up(1).unwrap();
    }
    let summary = sending.await.unwrap().unwrap();
    assert_eq!((summary.sent, summary.delivered, summary.failed), (COUNT, COUNT, 0), "{summary}");
    let left = COUNT - messages.len() as u64;
    messages.extend(receive(&consumer, left));
    let more = consumer.poll(Duration::from_millis(200)).and_then(Result::ok);
    assert!(more.is_none(), "a record arrived twice");
    let keys: std::collections::BTreeSet<_> = messages.iter().map(|message| message.key().unwrap()).collect();
    assert_eq!(keys.len() as u64, COUNT);
}
