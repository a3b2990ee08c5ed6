//! The Kafka consumer: its settings, its group's callbacks, its log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use common::kafka::client_config;
use common::run::Stopwatch;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::Assignment;
use crate::error::Error;
use crate::memory::Budget;
use crate::place::PartitionId;
use crate::topic_log::{ANSWER_WITHIN, log_range, partitions};

/// Leaving the group takes a moment, or longer than this when no broker answers.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// How long a log that seems to end too early is asked again: a new leader may not know its end at once.
const LOOK_AGAIN_FOR: Duration = Duration::from_secs(5);

/// The consumer with the callbacks that assign and revoke partitions.
pub type EventConsumer = BaseConsumer<GroupContext>;

/// Settings that `--kafka-config` may override, but for those below.
const DEFAULTS: &[(&str, &str)] = &[
    ("partition.assignment.strategy", "cooperative-sticky"),
    // A killed instance's partitions are free after this.
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "3000"),
    // Partitions that are added are found after this.
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("statistics.interval.ms", "5000"),
    ("fetch.queue.backoff.ms", "10"),
    ("socket.nagle.disable", "true"),
];

/// Settings that the protocol rests on.
const FIXED: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    // Every start is given explicitly; a log that has lost it is an error, not a reason to jump.
    ("auto.offset.reset", "error"),
];

/// Handles the group's decisions.
pub struct GroupContext {
    assignment: Arc<Assignment>,
}

/// Connects, makes sure that the topic exists, notes where a single run ends, and joins the group.
pub fn connect(assignment: &Arc<Assignment>) -> Result<EventConsumer, Error> {
    let (config, topic) = (&assignment.shared.config, Arc::clone(&assignment.shared.topic));
    let ahead = Budget::of(config.flush.max_memory).ahead_settings();
    let ahead = ahead.iter().map(|(key, value)| (*key, value.as_str()));
    let defaults: Vec<_> = DEFAULTS.iter().copied().chain(ahead).collect();
    let mut settings = client_config(&config.kafka, &defaults);
    settings.set("group.id", &config.group);
    for (key, value) in FIXED {
        settings.set(*key, *value);
    }
    let (brokers, single) = (config.kafka.brokers.clone(), config.run.every.is_none());
    let consumer: EventConsumer = settings
        .create_with_context(GroupContext { assignment: Arc::clone(assignment) })
        .map_err(Error::Setting)?;
    let partitions = partitions(&consumer, &topic, &brokers, ANSWER_WITHIN)?;
    if single {
        for partition in partitions {
            let log = log_range(&consumer, &topic, partition, ANSWER_WITHIN)?;
            assignment.lock().ends.insert(partition, log.end);
        }
    }
    consumer.subscribe(&[&topic]).map_err(Error::kafka(format!("subscribe to {topic}")))?;
    Ok(consumer)
}

/// Leaves the group, so that its other members need not wait for a time-out.
pub fn leave(consumer: EventConsumer) {
    let (done, left) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(consumer);
        // Nobody waits any more when this took too long.
        let _ = done.send(());
    });
    if left.recv_timeout(LEAVE_WITHIN).is_err() {
        tracing::warn!("leaving the group took too long; it will notice by itself");
    }
}

impl GroupContext {
    fn assign(
        &self,
        consumer: &EventConsumer,
        partitions: &[PartitionId],
    ) -> Result<TopicPartitionList, Error> {
        let topic = &self.assignment.shared.topic;
        let read = |partition: &PartitionId| {
            Ok((*partition, log_range(consumer, topic, *partition, ANSWER_WITHIN)?))
        };
        let watch = Stopwatch::start();
        let starts = loop {
            let logs: BTreeMap<_, _> = partitions.iter().map(read).collect::<Result<_, Error>>()?;
            match self.assignment.assign(&logs) {
                Err(error @ Error::NewTopic { .. }) if watch.elapsed() < LOOK_AGAIN_FOR => {
                    tracing::warn!(%error, "asking Kafka again");
                    std::thread::sleep(Duration::from_millis(500));
                }
                done => break done?,
            }
        };
        let mut list = TopicPartitionList::new();
        for (partition, offset) in starts {
            list.add_partition_offset(topic, partition.0, Offset::Offset(offset))
                .map_err(Error::kafka(format!("start {topic}-{} at offset {offset}", partition.0)))?;
        }
        Ok(list)
    }
}

/// Those of the list that the consumer took when the group gave them: not those that were set aside.
fn taken(consumer: &EventConsumer, list: &TopicPartitionList) -> TopicPartitionList {
    let Ok(assigned) = consumer.assignment() else { return list.clone() };
    let mut taken = TopicPartitionList::new();
    for element in list.elements() {
        if assigned.find_partition(element.topic(), element.partition()).is_some() {
            taken.add_partition(element.topic(), element.partition());
        }
    }
    taken
}

fn partitions_of(list: &TopicPartitionList) -> Vec<PartitionId> {
    list.elements().iter().map(|element| PartitionId(element.partition())).collect()
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &EventConsumer, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = partitions_of(list);
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            match self.assign(consumer, &partitions) {
                Ok(starts) if cooperative => consumer.incremental_assign(&starts),
                Ok(starts) => consumer.assign(&starts),
                Err(error) => {
                    self.assignment.lock().failure = Some(error);
                    // The group's decision must be answered; the run ends before a record arrives.
                    if cooperative {
                        consumer.incremental_assign(&TopicPartitionList::new())
                    } else {
                        consumer.unassign()
                    }
                }
            }
        } else {
            self.assignment.revoke(&partitions, consumer.assignment_lost());
            if cooperative {
                consumer.incremental_unassign(&taken(consumer, list))
            } else {
                consumer.unassign()
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the consumer did not take the group's decision");
        }
        self.assignment.lock().rebalances += 1;
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "the group's offsets, which are for lag tools only, were not committed");
        }
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::warn!(facility, "librdkafka: {message}");
            }
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::info!(facility, "librdkafka: {message}");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, "librdkafka: {message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a log is no error, though librdkafka tells it as one.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::warn!(%error, "Kafka: {reason}");
        }
    }

    fn stats(&self, statistics: Statistics) {
        let inner = self.assignment.lock();
        let Some(topic) = statistics.topics.get(&*self.assignment.shared.topic) else { return };
        for (partition, feed) in &inner.feeds {
            let Some(log) = topic.partitions.get(&partition.0).filter(|log| log.hi_offset >= 0) else {
                continue;
            };
            let lag = log.hi_offset - feed.worker.progress.committed_offset.load(Relaxed);
            #[allow(clippy::cast_precision_loss)] // a gauge is a float; a lag is far below 2^53
            metrics::gauge!("tributary_lag_records", "pipeline" => "pipeline-c", "partition" => partition.0.to_string())
                .set(lag.max(0) as f64);
        }
    }
}
