//! A topic's log as Kafka holds it, read without a group.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::kafka::client_config;
use common::run::Stopwatch;
use common::settings::KafkaArgs;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::error::Error;
use crate::extract::Chunk;
use crate::ledger::LogRange;
use crate::place::PartitionId;
use crate::transform::Record;

/// How long a broker may take to answer when a run starts.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// How long no record may arrive while there are some.
const STALLED_AFTER: Duration = Duration::from_mins(1);

/// A consumer that belongs to no group. Its calls block.
pub struct TopicLog {
    consumer: BaseConsumer,
    admin: AdminClient<DefaultClientContext>,
    answer_within: Duration,
    /// One reader at a time: the consumer has one assignment.
    reading: Mutex<()>,
    brokers: String,
    topic: Arc<str>,
}

impl TopicLog {
    /// Prepares it; nothing is asked yet.
    pub fn open(args: &KafkaArgs, answer_within: Duration) -> Result<Self, Error> {
        let mut settings = client_config(args, &[("fetch.queue.backoff.ms", "10")]);
        settings.set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        // Never joined; librdkafka wants one for assigning partitions.
        settings.set("group.id", "tributary-reader").set("auto.offset.reset", "error");
        let consumer = settings.create().map_err(Error::Setting)?;
        let admin = client_config(args, &[]).create().map_err(Error::Setting)?;
        let (brokers, topic) = (args.brokers.clone(), args.topic.as_str().into());
        Ok(Self { consumer, admin, answer_within, reading: Mutex::default(), brokers, topic })
    }

    /// Asks something where it may block.
    pub async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        what: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let log = Arc::clone(self);
        let asked = tokio::task::spawn_blocking(move || what(&log)).await;
        asked.map_err(|_| Error::Ended("asking Kafka".to_owned()))?
    }

    /// Numbers of the topic's partitions.
    pub fn partitions(&self) -> Result<Vec<PartitionId>, Error> {
        partitions(&self.consumer, &self.topic, &self.brokers, self.answer_within)
    }

    /// What Kafka holds of a partition.
    pub fn range(&self, partition: PartitionId) -> Result<LogRange, Error> {
        log_range(&self.consumer, &self.topic, partition, self.answer_within)
    }

    /// Whether Kafka removes records that are not the newest of their key. `false` where it may not be asked.
    pub async fn is_compacted(&self) -> bool {
        let options = AdminOptions::new().request_timeout(Some(self.answer_within));
        let asked = self.admin.describe_configs([&ResourceSpecifier::Topic(&self.topic)], &options).await;
        let configs = asked.unwrap_or_default().into_iter().flatten();
        let policies = configs.filter_map(|config| config.get("cleanup.policy")?.value.clone());
        policies.into_iter().any(|policy| policy.contains("compact"))
    }

    /// Gives all records in `range` to `take`, by offset and in chunks, until it returns false.
    pub fn read(
        &self,
        partition: PartitionId,
        range: LogRange,
        mut take: impl FnMut(Chunk) -> bool,
    ) -> Result<(), Error> {
        if range.start >= range.end {
            return Ok(());
        }
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let action = || format!("read {}-{} at {}", self.topic, partition.0, self.brokers);
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&self.topic, partition.0, Offset::Offset(range.start))
            .and_then(|()| self.consumer.assign(&from))
            .map_err(Error::kafka(action()))?;
        let mut chunk = Chunk::default();
        let mut waited = Stopwatch::start();
        loop {
            match self.consumer.poll(Duration::from_millis(500)) {
                Some(Ok(message)) if message.offset() < range.end => {
                    waited = Stopwatch::start();
                    chunk.push(&record(&message));
                    if chunk.is_full() && !take(std::mem::take(&mut chunk)) {
                        break;
                    }
                    if message.offset() + 1 == range.end {
                        break;
                    }
                }
                Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) => {
                    if let Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) =
                        error.rdkafka_error_code()
                    {
                        return Err(Error::OutOfRange { topic: self.topic.to_string() });
                    }
                    tracing::warn!(%error, "waiting for Kafka");
                }
                None => {}
            }
            if waited.elapsed() > STALLED_AFTER {
                return Err(Error::Stalled { waited: STALLED_AFTER });
            }
        }
        if !chunk.is_empty() {
            take(chunk);
        }
        self.consumer.unassign().map_err(Error::kafka(action()))
    }
}

/// A record as Kafka gave it. One without a timestamp has that of 1970, each time that it is read.
pub fn record<M: Message>(message: &M) -> Record<'_> {
    Record {
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().filter(|ms| *ms >= 0).unwrap_or_default(),
        key: message.key(),
        value: message.payload(),
    }
}

/// Numbers of a topic's partitions; [`Error::NoTopic`] when there is no such topic.
pub fn partitions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    brokers: &str,
    answer_within: Duration,
) -> Result<Vec<PartitionId>, Error> {
    let ask = || format!("ask Kafka at {brokers} for the topic {topic}");
    let metadata = consumer.fetch_metadata(Some(topic), answer_within).map_err(Error::kafka(ask()))?;
    let known = metadata.topics().iter().find(|found| found.name() == topic);
    let partitions: Vec<_> =
        known.map_or(&[][..], |found| found.partitions()).iter().map(|p| PartitionId(p.id())).collect();
    if partitions.is_empty() {
        return Err(Error::NoTopic { topic: topic.to_owned(), brokers: brokers.to_owned() });
    }
    Ok(partitions)
}

/// What an error of a consumer means; librdkafka goes on by itself after most.
pub fn judge_error(topic: &str, error: KafkaError) -> Result<(), Error> {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            Err(Error::OutOfRange { topic: topic.to_owned() })
        }
        Some(
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::Fatal,
        ) => Err(Error::kafka(format!("consume {topic}"))(error)),
        _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
            Err(Error::kafka(format!("consume {topic}"))(error))
        }
        _ => {
            tracing::warn!(%error, "waiting for Kafka");
            Ok(())
        }
    }
}

/// What Kafka holds of a partition.
pub fn log_range<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    partition: PartitionId,
    answer_within: Duration,
) -> Result<LogRange, Error> {
    let action = || format!("ask Kafka for the offsets of {topic}-{}", partition.0);
    let (start, end) =
        consumer.fetch_watermarks(topic, partition.0, answer_within).map_err(Error::kafka(action()))?;
    Ok(LogRange { start, end })
}
