//! Delivery to Kafka: idempotent, batched, every acknowledgement counted.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::kafka::client_config;
use common::run::{Shutdown, Stopwatch};
use common::settings::KafkaArgs;
use metrics::{Counter, counter};
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::kind::Kind;
use super::make::{Maker, Record};
use super::summary::EventsSummary;
use crate::error::ProducerError;
use crate::progress::Progress;

/// Large batches over low latency; at most 200,000 events or 128 MiB wait in memory. Keys go where Java's
/// client would send them.
const DEFAULTS: [(&str, &str); 8] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("partitioner", "murmur2_random"),
    ("linger.ms", "20"),
    ("batch.size", "1000000"),
    ("batch.num.messages", "10000"),
    ("queue.buffering.max.messages", "200000"),
    ("queue.buffering.max.kbytes", "131072"),
];

/// How long the brokers may take to answer at first.
const ANSWER: Duration = Duration::from_secs(8);

/// How long deliveries are waited for after a shutdown was asked for.
const LAST_DELIVERIES: Duration = Duration::from_secs(7);

/// Longest wait that does not look at the shutdown.
const ATTENTION: Duration = Duration::from_millis(100);

/// Records between two looks at acknowledgements and the shutdown.
const ROUND: u64 = 1_000;

/// Counts acknowledgements as the client learns of them.
struct Deliveries {
    delivered: AtomicU64,
    first_failure: OnceLock<String>,
    delivered_total: Counter,
    failed_total: Counter,
}

impl Deliveries {
    fn none_yet() -> Self {
        Self {
            delivered: AtomicU64::new(0),
            first_failure: OnceLock::new(),
            delivered_total: counter!("tributary_events_produced_total", "result" => "delivered"),
            failed_total: counter!("tributary_events_produced_total", "result" => "failed"),
        }
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!("Kafka: {error}: {reason}");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
                self.delivered_total.increment(1);
            }
            Err((error, _)) => {
                self.first_failure.get_or_init(|| error.to_string());
                self.failed_total.increment(1);
            }
        }
    }
}

/// Sends records to one topic.
pub(super) struct Sender {
    producer: BaseProducer<Deliveries>,
    brokers: String,
    topic: String,
    sent: u64,
    kinds: BTreeMap<Kind, u64>,
    watch: Stopwatch,
}

impl Sender {
    /// Connects, and fails early where no broker answers. Brokers that make topics by themselves make it here.
    pub(super) fn connect(kafka: &KafkaArgs) -> Result<Self, ProducerError> {
        let failed = |doing: &str, cause| ProducerError::Kafka {
            doing: doing.to_owned(),
            brokers: kafka.brokers.clone(),
            cause: Box::new(cause),
        };
        let producer: BaseProducer<Deliveries> = client_config(kafka, &DEFAULTS)
            .create_with_context(Deliveries::none_yet())
            .map_err(|cause| failed("setting up the client (--kafka-config?)", cause))?;
        producer
            .client()
            .fetch_metadata(Some(&kafka.topic), ANSWER)
            .map_err(|cause| failed("asking for the topic (--brokers?)", cause))?;
        Ok(Self {
            producer,
            brokers: kafka.brokers.clone(),
            topic: kafka.topic.clone(),
            sent: 0,
            kinds: BTreeMap::new(),
            watch: Stopwatch::start(),
        })
    }

    /// Sends `count` records, or until `shutdown`, at `pace` a second where given.
    pub(super) fn send_all(
        &mut self,
        maker: &mut Maker,
        count: Option<u64>,
        pace: Option<NonZeroU32>,
        shutdown: &Shutdown,
        progress: Progress,
    ) -> Result<(), ProducerError> {
        let mut shown = progress.count("events", count);
        while !shutdown.requested() && count.is_none_or(|count| self.sent < count) {
            let due = pace.map_or(u64::MAX, |pace| due(pace, self.watch.elapsed()).saturating_sub(self.sent));
            let left = count.map_or(u64::MAX, |count| count - self.sent);
            let round = ROUND.min(due).min(left);
            for _ in 0..round {
                self.send(maker.next()?, shutdown)?;
            }
            shown.add(round);
            // Waiting serves acknowledgements, too.
            self.producer.poll(if round == 0 { wait_for_next(pace).min(ATTENTION) } else { Duration::ZERO });
        }
        Ok(())
    }

    fn send(&mut self, record: Record<'_>, shutdown: &Shutdown) -> Result<(), ProducerError> {
        let mut message: BaseRecord<'_, str, [u8]> = BaseRecord::to(&self.topic);
        message.key = record.key;
        message.payload = record.value;
        loop {
            match self.producer.send(message) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if !shutdown.requested() =>
                {
                    message = back;
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => return Ok(()),
                Err((cause, _)) => {
                    let doing = format!("sending to {} after {} records", self.topic, self.sent);
                    return Err(ProducerError::Kafka {
                        doing,
                        brokers: self.brokers.clone(),
                        cause: Box::new(cause),
                    });
                }
            }
        }
        self.sent += 1;
        *self.kinds.entry(record.kind).or_default() += 1;
        Ok(())
    }

    /// Waits until every record is acknowledged or given up (librdkafka's `message.timeout.ms`), after a shutdown
    /// at most some seconds.
    pub(super) fn finish(self, shutdown: &Shutdown) -> EventsSummary {
        let mut stopping: Option<Stopwatch> = None;
        while self.producer.in_flight_count() > 0 {
            if shutdown.requested()
                && stopping.get_or_insert_with(Stopwatch::start).elapsed() >= LAST_DELIVERIES
            {
                tracing::warn!("{} records are not acknowledged in time", self.producer.in_flight_count());
                break;
            }
            // An error is the time limit: look again.
            let _ = self.producer.flush(ATTENTION);
        }
        let deliveries = self.producer.context();
        let delivered = deliveries.delivered.load(Ordering::Relaxed);
        EventsSummary {
            sent: self.sent,
            delivered,
            failed: self.sent.saturating_sub(delivered),
            first_failure: deliveries.first_failure.get().cloned(),
            kinds: self.kinds,
            elapsed: self.watch.elapsed(),
        }
    }
}

/// How many records should have been sent by now.
fn due(pace: NonZeroU32, elapsed: Duration) -> u64 {
    // The first is due at once.
    u64::try_from(u128::from(pace.get()) * elapsed.as_micros() / 1_000_000 + 1).unwrap_or(u64::MAX)
}

fn wait_for_next(pace: Option<NonZeroU32>) -> Duration {
    pace.map_or(Duration::ZERO, |pace| Duration::from_secs(1) / pace.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_kept() {
        let ten = NonZeroU32::new(10).unwrap();
        for (elapsed_ms, expected) in [(0, 1), (99, 1), (100, 2), (1_000, 11), (60_000, 601)] {
            assert_eq!(due(ten, Duration::from_millis(elapsed_ms)), expected, "{elapsed_ms} ms");
        }
    }
}
