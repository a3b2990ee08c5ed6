//! The whole job on librdkafka's own broker, a directory and schemas in files.
#![allow(clippy::unwrap_used)] // a test that fails says where

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use apache_avro::types::Value;
use common::avro::{CUSTOMER_EVENT_SCHEMA, Registry, frame};
use common::lake::Lake;
use common::run::{Clock, Exit, Shutdown};
use common::settings::{KafkaArgs, LakeArgs, OutputFormat, RegistryArgs, RunArgs};
use parquet::file::reader::{FileReader, SerializedFileReader};
use pipeline_c::{Config, OnMalformed, run};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::Value as Json;

const TOPIC: &str = "customer_events";

struct Bench {
    cluster: MockCluster<'static, DefaultProducerContext>,
    dir: tempfile::TempDir,
    schema: common::avro::SchemaId,
    sent: u32,
}

impl Bench {
    async fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, 3, 1).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(&registry_url(dir.path())).unwrap();
        let schema = registry.register("customer_events-value", CUSTOMER_EVENT_SCHEMA).await.unwrap();
        Self { cluster, dir, schema, sent: 0 }
    }

    fn config(&self, every: Option<Duration>) -> Config {
        let kafka =
            KafkaArgs { brokers: self.cluster.bootstrap_servers(), topic: TOPIC.into(), config: Vec::new() };
        let lake = LakeArgs { lake: format!("file://{}/lake", self.dir.path().display()).parse().unwrap() };
        let registry = RegistryArgs { registry: registry_url(self.dir.path()) };
        Config::embedded(kafka, registry, lake, RunArgs { every, output: OutputFormat::None })
    }

    /// Sends this many records, every tenth of them malformed.
    fn send(&mut self, count: u32) {
        let producer: ThreadedProducer<_> = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .create_with_context(DefaultProducerContext)
            .unwrap();
        let schema = apache_avro::Schema::parse_str(CUSTOMER_EVENT_SCHEMA).unwrap();
        for number in self.sent..self.sent + count {
            let event = Value::Record(vec![
                ("event_id".into(), Value::String(format!("e{number}"))),
                ("customer_id".into(), Value::Int(i32::try_from(number % 17).unwrap())),
                ("event_type".into(), Value::String("LIKE".into())),
                ("product_id".into(), Value::Union(0, Box::new(Value::Null))),
                (
                    "event_timestamp".into(),
                    Value::String(format!("2026-01-{:02}T10:00:00Z", 1 + number / 3 % 3)),
                ),
            ]);
            let body = apache_avro::to_avro_datum(&schema, event).unwrap();
            let value = if number % 10 == 0 { b"not framed".to_vec() } else { frame(self.schema, &body) };
            let partition = i32::try_from(number % 3).unwrap();
            let key = format!("e{number}");
            producer
                .send(BaseRecord::to(TOPIC).partition(partition).key(&key).payload(&value))
                .map_err(|(e, _)| e)
                .unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
        self.sent += count;
    }

    async fn run_once(&self, config: &Config) -> Exit {
        run(config, Clock::system(), &Shutdown::manual()).await
    }

    fn files(&self, table: &str) -> BTreeMap<String, i64> {
        let mut files = BTreeMap::new();
        let folder = self.dir.path().join("lake").join(table);
        for date in folder.read_dir().into_iter().flatten() {
            for file in date.unwrap().path().read_dir().unwrap() {
                let path = file.unwrap().path();
                let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
                files.insert(path.display().to_string(), reader.metadata().file_metadata().num_rows());
            }
        }
        files
    }

    fn rows(&self, table: &str) -> i64 {
        self.files(table).values().sum()
    }

    async fn reports(&self) -> Vec<Json> {
        let lake =
            Lake::open(&format!("file://{}/lake", self.dir.path().display()).parse().unwrap()).await.unwrap();
        let history = lake.get("_state/events/run_history-customer_events.jsonl").await.unwrap();
        let text = history.map(|(body, _)| String::from_utf8(body.to_vec()).unwrap()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn registry_url(dir: &Path) -> common::settings::SecretUrl {
    format!("dir:{}/schemas", dir.display()).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_reads_to_the_end_and_a_second_one_changes_nothing() {
    let mut bench = Bench::new().await;
    bench.send(3_000);
    let config = bench.config(None);
    assert_eq!(bench.run_once(&config).await, Exit::Done);
    assert_eq!((bench.rows("events"), bench.rows("events_malformed")), (2_700, 300));
    let files = (bench.files("events"), bench.files("events_malformed"));
    assert_eq!(bench.run_once(&config).await, Exit::Done);
    assert_eq!((bench.files("events"), bench.files("events_malformed")), files);
    bench.send(600);
    assert_eq!(bench.run_once(&config).await, Exit::Done);
    assert_eq!((bench.rows("events"), bench.rows("events_malformed")), (3_240, 360));
    assert_eq!(bench.files("events").len(), 9, "the tails were rewritten");
    let reports = bench.reports().await;
    let seen: Vec<_> =
        reports.iter().map(|r| (r["status"].as_str().unwrap(), r["read"].as_u64().unwrap())).collect();
    assert_eq!(seen, [("ok", 3_000), ("idle", 0), ("ok", 600)]);
    assert_eq!(reports[2]["partitions"], serde_json::json!({"0": 1200, "1": 1200, "2": 1200}));
    assert_eq!((&reports[2]["malformed"], &reports[2]["quarantined"]), (&60.into(), &60.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_stays_makes_events_visible_and_a_signal_ends_it_with_all_it_has() {
    let mut bench = Bench::new().await;
    bench.send(300);
    let config = bench.config(Some(Duration::from_millis(100)));
    let shutdown = Shutdown::manual();
    let job = tokio::spawn({
        let (config, shutdown) = (config.clone(), shutdown.clone());
        async move { run(&config, Clock::system(), &shutdown).await }
    });
    let deadline = common::run::Stopwatch::start();
    while bench.rows("events") < 270 {
        assert!(deadline.elapsed() < Duration::from_mins(1), "nothing became visible");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bench.send(300);
    shutdown.request();
    assert_eq!(job.await.unwrap(), Exit::Done);
    assert_eq!(bench.run_once(&bench.config(None)).await, Exit::Done);
    assert_eq!((bench.rows("events"), bench.rows("events_malformed")), (540, 60));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_above_the_ratio_is_refused_as_a_whole_where_that_is_asked_for() {
    let mut bench = Bench::new().await;
    bench.send(150);
    let mut config = bench.config(None);
    config.gates.on_malformed = OnMalformed::Halt;
    assert_eq!(bench.run_once(&config).await, Exit::Refused);
    assert_eq!((bench.rows("events"), bench.rows("events_malformed")), (0, 0));
    config.gates.max_malformed_ratio = 0.1;
    assert_eq!(bench.run_once(&config).await, Exit::Done);
    assert_eq!((bench.rows("events"), bench.rows("events_malformed")), (135, 15));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_exist_and_a_registry_that_is_none_are_told() {
    let bench = Bench::new().await;
    let mut config = bench.config(None);
    config.registry.registry = "ftp://nowhere/".parse().unwrap();
    assert_eq!(bench.run_once(&config).await, Exit::Usage);
    let mut config = bench.config(None);
    config.kafka.topic = "no_such_topic".into();
    assert_eq!(bench.run_once(&config).await, Exit::Failed);
    let lake = Lake::open(&config.lake.lake).await.unwrap();
    let (history, _) = lake.get("_state/events/run_history-no_such_topic.jsonl").await.unwrap().unwrap();
    let report: Json = serde_json::from_slice(&history).unwrap();
    assert!(report["error"].as_str().unwrap().contains("no_such_topic does not exist"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_answer_is_waited_for_and_nothing_becomes_malformed_by_it() {
    let mut bench = Bench::new().await;
    bench.send(300);
    let (schemas, away) = (bench.dir.path().join("schemas"), bench.dir.path().join("away"));
    std::fs::rename(&schemas, &away).unwrap();
    let config = bench.config(None);
    let job = tokio::spawn(async move { run(&config, Clock::system(), &Shutdown::manual()).await });
    let claimed = bench.dir.path().join("lake/_state/events/customer_events-0.json");
    while !claimed.exists() {
        assert!(!job.is_finished(), "the run ended without its registry");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::rename(&away, &schemas).unwrap();
    assert_eq!(job.await.unwrap(), Exit::Done);
    assert_eq!((bench.rows("events"), bench.rows("events_malformed")), (270, 30));
}
