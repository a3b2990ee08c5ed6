//! Notices that the topic was deleted and made anew, however long the new one is, while a run goes on too.
//!
//! Kafka's own id of a topic is not among what librdkafka tells. So before a batch is committed, and now and then while
//! there is none, a record that was read before it is read again, and compared: where it stands unchanged **after** all
//! of the batch was read, the batch is from the same topic.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use common::kafka::client_config;
use common::run::Stopwatch;
use common::settings::KafkaArgs;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::ledger::LogRange;
use crate::place::PartitionId;
use crate::topic_log::{judge_error, log_range, record};

/// One record of each partition is wanted. Brokers give whole batches of records, whatever their size.
const LITTLE: &[(&str, &str)] = &[
    ("fetch.message.max.bytes", "65536"),
    // A full queue would be looked at again only now and then.
    ("queued.min.messages", "100000"),
    ("queued.max.messages.kbytes", "4096"),
    ("fetch.wait.max.ms", "10"),
    ("fetch.queue.backoff.ms", "10"),
    ("enable.auto.commit", "false"),
    ("enable.partition.eof", "true"),
    ("auto.offset.reset", "error"),
    // Never joined; librdkafka wants one for assigning partitions.
    ("group.id", "tributary-witnesses"),
];

/// After this time without an answer it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(20);

/// How long Kafka may take to tell where a log begins and ends.
const RANGE_WITHIN: Duration = Duration::from_secs(5);

/// Reads single records again.
pub struct Witnesses {
    consumer: Arc<StreamConsumer>,
    topic: Arc<str>,
    /// How long Kafka may be away.
    patience: Duration,
    /// The consumer has one assignment.
    alone: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Witnesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witnesses").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// The record that is to stand where it was read, by partition.
pub type Known = BTreeMap<PartitionId, Fingerprint>;

impl Witnesses {
    /// Prepares it; nothing is asked yet.
    pub fn open(args: &KafkaArgs, patience: Duration) -> Result<Self, Error> {
        let mut settings = client_config(args, &[]);
        for (key, value) in LITTLE {
            settings.set(*key, *value);
        }
        let consumer = Arc::new(settings.create().map_err(Error::Setting)?);
        Ok(Self {
            consumer,
            topic: args.topic.as_str().into(),
            patience,
            alone: tokio::sync::Mutex::default(),
        })
    }

    /// Partitions where another record stands than was read there, or none because the log ends before it, and what
    /// Kafka holds of them now. A record that retention or compaction has removed tells nothing.
    pub async fn others(&self, mut known: Known) -> Result<BTreeMap<PartitionId, LogRange>, Error> {
        let _alone = self.alone.lock().await;
        let watch = Stopwatch::start();
        let mut others = BTreeMap::new();
        while !known.is_empty() {
            self.begin(&known)?;
            let compared = tokio::time::timeout(ASK_AGAIN, self.compare(&mut known, &mut others)).await;
            if let Ok(compared) = compared {
                compared?;
            } else if watch.elapsed() > self.patience {
                return Err(Error::Stalled { waited: watch.elapsed() });
            } else {
                tracing::warn!("waiting for Kafka to tell whether the topic is the same still");
            }
        }
        self.consumer.unassign().map_err(Error::kafka(self.action()))?;
        Ok(others)
    }

    fn begin(&self, known: &Known) -> Result<(), Error> {
        let mut from = TopicPartitionList::new();
        for (partition, record) in known {
            from.add_partition_offset(&self.topic, partition.0, Offset::Offset(record.offset))
                .map_err(Error::kafka(self.action()))?;
        }
        self.consumer.assign(&from).map_err(Error::kafka(self.action()))
    }

    /// Takes out of `known` what Kafka has told of.
    async fn compare(
        &self,
        known: &mut Known,
        others: &mut BTreeMap<PartitionId, LogRange>,
    ) -> Result<(), Error> {
        while !known.is_empty() {
            let (unknown, at_the_end) = match self.consumer.recv().await {
                Ok(message) => {
                    let partition = PartitionId(message.partition());
                    let record = record(&message);
                    if known.get(&partition).is_some_and(|read| read.is_contradicted_by(&record)) {
                        others.insert(partition, self.range(partition).await?);
                    }
                    known.remove(&partition);
                    continue;
                }
                Err(KafkaError::PartitionEOF(partition)) => (vec![PartitionId(partition)], true),
                Err(error) if is_out_of_range(&error) => (known.keys().copied().collect(), false),
                Err(error) => {
                    judge_error(&self.topic, error)?;
                    continue;
                }
            };
            for partition in unknown {
                let Some(offset) = known.get(&partition).map(|read| read.offset) else { continue };
                let range = self.range(partition).await?;
                if range.end <= offset {
                    others.insert(partition, range);
                } else if range.start <= offset && !at_the_end {
                    continue;
                }
                known.remove(&partition);
            }
        }
        Ok(())
    }

    async fn range(&self, partition: PartitionId) -> Result<LogRange, Error> {
        let (consumer, topic) = (Arc::clone(&self.consumer), Arc::clone(&self.topic));
        let asked = move || log_range(&*consumer, &topic, partition, RANGE_WITHIN);
        tokio::task::spawn_blocking(asked).await.map_err(|_| Error::Ended("asking Kafka".to_owned()))?
    }

    fn action(&self) -> String {
        format!("read records of {} again", self.topic)
    }
}

/// The log begins behind what was asked for, or ends before it. The error does not say of which partition.
fn is_out_of_range(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange))
}
