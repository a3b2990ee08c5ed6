//! A topic of its own for a test, with its schemas, and every record that is in it.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;

use crate::program::Program;
use crate::shop::until;
use crate::{clean_up, http, services, unique_name};

const PATIENCE: Duration = Duration::from_secs(20);

/// More than brokers and producers take unless they are told to.
const LARGEST_RECORD_BYTES: &str = "20000000";

/// A topic; it is deleted at the end.
#[derive(Debug)]
pub struct Topic {
    /// Its name, also that of the consumer group.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    brokers: String,
}

/// A record as any consumer sees it.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // Kafka's own words
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// A record to be sent.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)] // Kafka's own words
pub struct ToSend {
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

impl Topic {
    /// A topic without records.
    pub async fn empty(partitions: i32) -> Self {
        Self::empty_at(&services::kafka(), partitions).await
    }

    /// The same at other brokers.
    pub async fn empty_at(brokers: &str, partitions: i32) -> Self {
        let name = unique_name();
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1))
            .set("max.message.bytes", LARGEST_RECORD_BYTES);
        let created = admin(brokers).create_topics([&topic], &AdminOptions::new()).await.unwrap();
        assert!(created.iter().all(Result::is_ok), "Kafka: {created:?}");
        Self { name, partitions, brokers: brokers.to_owned() }
    }

    /// A topic with what `producer events` sends; see [`Topic::produce`].
    pub async fn filled(arguments: &str) -> Self {
        let topic = Self::empty(4).await;
        topic.produce(arguments).await;
        topic
    }

    /// Runs `producer events` with these arguments.
    pub async fn produce(&self, arguments: &str) {
        let produced = self.producer(arguments).run().await;
        assert_eq!(produced.code, 0, "{produced:#?}");
    }

    /// `producer events` with these arguments.
    #[must_use]
    pub fn producer(&self, arguments: &str) -> Program {
        Program::new("producer")
            .args(["events", "--topic", &self.name, "--brokers", &self.brokers])
            .args(["--registry", &services::registry()])
            .args(arguments.split_whitespace())
    }

    /// Pipeline C from this topic to `lake`; it reports as JSON.
    #[must_use]
    pub fn pipeline_c(&self, lake: &str) -> Program {
        self.pipeline_c_at(&self.brokers, &services::registry(), lake)
    }

    /// The same with other brokers or another registry.
    #[must_use]
    pub fn pipeline_c_at(&self, brokers: &str, registry: &str, lake: &str) -> Program {
        Program::new("pipeline-c")
            .args(["--topic", &self.name, "--output", "json"])
            .env("KAFKA_GROUP", &self.name)
            .args(["--brokers", brokers, "--registry", registry, "--lake", lake])
    }

    /// One of pipeline C's subcommands, with this topic and `lake`; it reports as JSON.
    #[must_use]
    pub fn tool(&self, subcommand: &str, lake: &str) -> Program {
        Program::new("pipeline-c")
            .args([subcommand, "--topic", &self.name, "--lake", lake, "--output", "json"])
            .env("KAFKA_BROKERS", &self.brokers)
            .env("SCHEMA_REGISTRY_URL", &services::registry())
    }

    /// Asserts that `pipeline-c verify` finds each record to be one row, and returns its report.
    pub async fn verify(&self, lake: &str) -> serde_json::Value {
        let report = self.tool("verify", lake).report().await;
        assert_eq!(report["clean"], true, "{report}");
        report
    }

    /// Deletes all records of a partition before an offset, as retention does.
    pub async fn delete_before(&self, partition: i32, offset: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&self.name, partition, Offset::Offset(offset)).unwrap();
        admin(&self.brokers).delete_records(&offsets, &AdminOptions::new()).await.unwrap();
    }

    /// Adds partitions, so that there are this many.
    pub async fn add_partitions(&mut self, partitions: i32) {
        let count = usize::try_from(partitions).unwrap();
        let added = NewPartitions::new(&self.name, count);
        let done = admin(&self.brokers).create_partitions([&added], &AdminOptions::new()).await.unwrap();
        assert!(done.iter().all(Result::is_ok), "Kafka: {done:?}");
        self.partitions = partitions;
    }

    /// Deletes the topic and makes another one of the same name.
    pub async fn make_anew(&self) {
        admin(&self.brokers).delete_topics(&[&self.name], &AdminOptions::new()).await.unwrap();
        let topic = NewTopic::new(&self.name, self.partitions, TopicReplication::Fixed(1));
        let made = async || {
            let made = admin(&self.brokers).create_topics([&topic], &AdminOptions::new()).await.unwrap();
            made.iter().all(Result::is_ok)
        };
        until(made, "the topic cannot be made anew").await;
    }

    /// Registers a schema for the values and returns its id. Registries refuse what is incompatible, unless it has
    /// a subject of its own.
    pub async fn register(&self, subject: &str, schema: &serde_json::Value) -> u32 {
        let registry = services::registry();
        let (address, base) = registry.trim_start_matches("http://").split_once('/').unwrap();
        let path = format!("/{base}/subjects/{}-{subject}/versions", self.name);
        let answer = http::post(address, &path, &json!({"schema": schema.to_string()})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["id"].as_u64().unwrap().try_into().unwrap()
    }

    /// Sends records, one after the other.
    pub async fn send(&self, records: &[ToSend]) {
        let producer: FutureProducer = config(&self.brokers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .set("message.max.bytes", LARGEST_RECORD_BYTES)
            .create()
            .unwrap();
        for record in records {
            let mut sent = FutureRecord::<[u8], [u8]>::to(&self.name).partition(record.partition);
            (sent.key, sent.payload) = (record.key.as_deref(), record.value.as_deref());
            producer.send(sent, PATIENCE).await.unwrap();
        }
    }

    /// Every record, read with a consumer of its own from the beginning to the end.
    pub async fn records(&self) -> Vec<Record> {
        let (name, brokers, partitions) = (self.name.clone(), self.brokers.clone(), self.partitions);
        tokio::task::spawn_blocking(move || read_all(&name, &brokers, partitions)).await.unwrap()
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let (name, brokers) = (self.name.clone(), self.brokers.clone());
        clean_up(|| async move {
            admin(&brokers).delete_topics(&[&name], &AdminOptions::new()).await.unwrap();
        });
    }
}

fn read_all(topic: &str, brokers: &str, partitions: i32) -> Vec<Record> {
    let consumer: BaseConsumer =
        config(brokers).set("group.id", unique_name()).set("enable.auto.commit", "false").create().unwrap();
    let mut ends = Vec::new();
    let mut from_the_beginning = TopicPartitionList::new();
    for partition in 0..partitions {
        ends.push(consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap().1);
        from_the_beginning.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&from_the_beginning).unwrap();
    let total: i64 = ends.iter().sum();
    let mut records = Vec::new();
    while records.len() < usize::try_from(total).unwrap() {
        let polled = consumer.poll(PATIENCE).unwrap_or_else(|| panic!("no record for {PATIENCE:?}"));
        records.push(record(&polled.unwrap().detach()));
    }
    records
}

fn record(message: &OwnedMessage) -> Record {
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
    }
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    config(brokers).create().unwrap()
}

fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}
