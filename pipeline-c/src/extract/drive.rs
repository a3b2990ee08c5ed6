//! The consumer's loop: records to workers, batches when they are due, until there is a reason to end.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use common::run::{Shutdown, Stopwatch};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Assignment, EventConsumer};
use crate::error::Error;
use crate::place::PartitionId;
use crate::round::{self, Commands, Round};
use crate::transform::Record;
use crate::worker::ended_unexpectedly;

/// Longest wait for a record before looking at what else is to be done.
const POLL: Duration = Duration::from_millis(20);

/// Records taken in a row before looking at what else is to be done.
const POLL_RECORDS: u32 = 5_000;

/// After a signal: time to make visible what is there. The program has 10 s in all.
const STOP_WITHIN: Duration = Duration::from_secs(7);

/// How long the group may take to assign partitions to a single run.
const ASSIGN_WITHIN: Duration = Duration::from_secs(90);

/// A single run that was assigned nothing for this long leaves all partitions to the group's other members.
const IDLE_MEMBER: Duration = Duration::from_secs(15);

/// A partition that was taken over should be revoked by the group within this time.
const FENCED_FOR: Duration = Duration::from_secs(60);

struct Drive<'a> {
    consumer: &'a EventConsumer,
    assignment: &'a Assignment,
    shutdown: &'a Shutdown,
    rounds: &'a mpsc::UnboundedSender<Round>,
    /// Longest time between rounds; a single run has none.
    interval: Option<Duration>,
    running: Option<JoinHandle<Result<Round, Error>>>,
    since_round: Stopwatch,
    since_record: Stopwatch,
    since_start: Stopwatch,
    since_stop: Option<Stopwatch>,
    last_round_begun: bool,
    paused: bool,
}

/// Consumes until a single run is complete or a signal comes. Each batch that became visible goes to `rounds`.
pub fn drive(
    consumer: &EventConsumer,
    assignment: &Arc<Assignment>,
    shutdown: &Shutdown,
    rounds: &mpsc::UnboundedSender<Round>,
) -> Result<(), Error> {
    let config = &assignment.shared.config;
    let mut drive = Drive {
        consumer,
        assignment,
        shutdown,
        rounds,
        interval: config.run.every.map(|every| every.min(config.flush.flush_interval)),
        running: None,
        since_round: Stopwatch::start(),
        since_record: Stopwatch::start(),
        since_start: Stopwatch::start(),
        since_stop: None,
        last_round_begun: false,
        paused: false,
    };
    let ended = drive.run();
    let patience = if ended.is_ok() { drive.time_left() } else { Duration::ZERO };
    assignment.end_all(patience);
    ended
}

impl Drive<'_> {
    fn run(&mut self) -> Result<(), Error> {
        loop {
            if self.since_stop.is_none() {
                self.take_records()?;
            } else {
                std::thread::sleep(POLL);
            }
            self.check_failures()?;
            self.bound_memory()?;
            self.finish_round()?;
            if self.shutdown.requested() && self.since_stop.is_none() {
                self.since_stop = Some(Stopwatch::start());
            }
            if self.running.is_some() {
                if self.time_left().is_zero() {
                    tracing::warn!("not all that was read could be made visible in time; it will be read again");
                    return Ok(());
                }
            } else if self.round_is_due() {
                self.begin_round();
            } else if self.since_stop.is_some() || self.complete()? {
                self.settle();
                return Ok(());
            }
        }
    }

    /// Time left after a signal; without one, as much as is ever needed.
    fn time_left(&self) -> Duration {
        self.since_stop.map_or(STOP_WITHIN, |since| STOP_WITHIN.saturating_sub(since.elapsed()))
    }

    fn take_records(&mut self) -> Result<(), Error> {
        let mut wait = POLL;
        for _ in 0..POLL_RECORDS {
            let Some(polled) = self.consumer.poll(wait) else { break };
            wait = Duration::ZERO;
            match polled {
                Ok(message) => {
                    self.since_record = Stopwatch::start();
                    let record = Record {
                        offset: message.offset(),
                        timestamp_ms: message
                            .timestamp()
                            .to_millis()
                            .unwrap_or_else(|| self.assignment.shared.clock.now().timestamp_millis()),
                        key: message.key(),
                        value: message.payload(),
                    };
                    let partition = PartitionId(message.partition());
                    // A partition without a worker was revoked or taken over: its next owner reads the record.
                    let wanted = self.assignment.lock().feeds.get_mut(&partition).is_none_or(|feed| feed.push(&record));
                    if !wanted {
                        self.pause(&[partition])?;
                    }
                }
                Err(KafkaError::PartitionEOF(partition)) => {
                    if let Some(feed) = self.assignment.lock().feeds.get_mut(&PartitionId(partition)) {
                        feed.caught_up();
                    }
                }
                Err(error) => self.judge_error(error)?,
            }
        }
        self.assignment.lock().feeds.values_mut().for_each(super::assignment::Feed::hand_over);
        Ok(())
    }

    /// librdkafka goes on by itself after most errors.
    fn judge_error(&self, error: KafkaError) -> Result<(), Error> {
        let topic = &self.assignment.shared.topic;
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                Err(Error::OutOfRange { topic: topic.to_string() })
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

    fn check_failures(&self) -> Result<(), Error> {
        let mut inner = self.assignment.lock();
        if let Some(failure) = inner.failure.take() {
            return Err(failure);
        }
        let mut fenced = Vec::new();
        for (partition, feed) in &mut inner.feeds {
            match feed.worker.ended.try_recv() {
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => {}
                Ok(Err(error @ Error::Fenced { .. })) if self.interval.is_some() => fenced.push((*partition, error)),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(())) | Err(_) => return Err(ended_unexpectedly(&self.assignment.place(*partition))),
            }
        }
        for (partition, error) in fenced {
            tracing::warn!(%error, "dropping what was read of this partition");
            inner.feeds.remove(&partition);
            inner.fenced.insert(partition, (Stopwatch::start(), error));
        }
        let overdue = inner.fenced.iter().find(|(_, (since, _))| since.elapsed() > FENCED_FOR).map(|(id, _)| *id);
        match overdue.and_then(|partition| inner.fenced.remove(&partition)) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    fn bound_memory(&mut self) -> Result<(), Error> {
        let limit = self.assignment.shared.config.flush.max_memory.0;
        let bytes = self.load().0;
        #[allow(clippy::cast_precision_loss)] // a gauge is a float; bytes in memory are far below 2^53
        metrics::gauge!("tributary_buffered_bytes").set(bytes as f64);
        if self.paused != (bytes >= if self.paused { limit / 2 } else { limit }) {
            let partitions: Vec<_> = self.assignment.lock().feeds.keys().copied().collect();
            if self.paused {
                self.consumer.resume(&self.list(&partitions)).map_err(Error::kafka("resume consumption"))?;
            } else {
                self.pause(&partitions)?;
            }
            self.paused = !self.paused;
            tracing::debug!(bytes, limit, paused = self.paused, "memory");
        }
        Ok(())
    }

    fn pause(&self, partitions: &[PartitionId]) -> Result<(), Error> {
        self.consumer.pause(&self.list(partitions)).map_err(Error::kafka("pause consumption"))
    }

    fn list(&self, partitions: &[PartitionId]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.assignment.shared.topic, partition.0);
        }
        list
    }

    /// Bytes in all partitions, rows in all, and the most bytes and rows in one.
    fn load(&self) -> (u64, u64, u64, u64) {
        self.assignment.lock().feeds.values().fold((0, 0, 0, 0), |(bytes, rows, most_bytes, most_rows), feed| {
            let progress = &feed.worker.progress;
            let (b, r) = (progress.bytes.load(Relaxed), progress.rows.load(Relaxed));
            (bytes + b, rows + r, most_bytes.max(b), most_rows.max(r))
        })
    }

    fn drained(&self) -> bool {
        self.interval.is_none()
            && self.assignment.lock().feeds.values().all(|feed| feed.worker.progress.drained.load(Relaxed))
    }

    fn round_is_due(&self) -> bool {
        let flush = &self.assignment.shared.config.flush;
        let (bytes, rows, most_bytes, most_rows) = self.load();
        if rows == 0 {
            return false;
        }
        if self.since_stop.is_some() {
            return !self.last_round_begun;
        }
        self.interval.is_some_and(|interval| self.since_round.elapsed() >= interval)
            || most_bytes >= flush.flush_bytes.0
            || most_rows >= flush.flush_rows
            || bytes >= flush.max_memory.0 / 4 * 3
            || self.drained()
    }

    fn commands(&self) -> Commands {
        let inner = self.assignment.lock();
        inner.feeds.iter().map(|(partition, feed)| (*partition, feed.worker.commands.clone())).collect()
    }

    fn begin_round(&mut self) {
        self.last_round_begun = self.since_stop.is_some();
        self.since_round = Stopwatch::start();
        let shared = &self.assignment.shared;
        let round = round::run(self.commands(), shared.config.gates.clone(), shared.clock.clone());
        self.running = Some(shared.runtime.spawn(round));
    }

    fn finish_round(&mut self) -> Result<(), Error> {
        let Some(running) = self.running.take_if(|round| round.is_finished()) else { return Ok(()) };
        let round = self.assignment.shared.runtime.block_on(running);
        let round = round.map_err(|_| Error::Ended("a batch".to_owned()))??;
        self.since_record = Stopwatch::start();
        let mut offsets = TopicPartitionList::new();
        for flush in round.flushed.iter().filter(|flush| flush.files > 0) {
            let (topic, offset) = (&self.assignment.shared.topic, Offset::Offset(flush.next_offset));
            if offsets.add_partition_offset(topic, flush.partition.0, offset).is_err() {
                tracing::debug!(offset = flush.next_offset, "not an offset for the group");
            }
        }
        // For lag tools; what counts is in the state objects.
        if offsets.count() > 0 && let Err(error) = self.consumer.commit(&offsets, CommitMode::Async) {
            tracing::debug!(%error, "the group's offsets were not committed");
        }
        // Who reads the rounds has ended only when this is ending too.
        let _ = self.rounds.send(round);
        Ok(())
    }

    /// Whether a single run has read and written what there was when it started.
    fn complete(&self) -> Result<bool, Error> {
        if self.interval.is_some() {
            return Ok(false);
        }
        let (rebalances, partitions) = {
            let inner = self.assignment.lock();
            (inner.rebalances, inner.feeds.len())
        };
        let elapsed = self.since_start.elapsed();
        if partitions == 0 {
            if rebalances == 0 && elapsed > ASSIGN_WITHIN {
                let group = self.assignment.shared.config.group.clone();
                return Err(Error::NoAssignment { group, waited: elapsed });
            }
            if rebalances > 0 && elapsed > IDLE_MEMBER {
                tracing::info!("all partitions are with other members of the group");
                return Ok(true);
            }
            return Ok(false);
        }
        if self.drained() {
            return Ok(true);
        }
        let limit = self.assignment.shared.config.gates.outage_limit;
        if !self.paused && self.since_record.elapsed() > limit {
            return Err(Error::Stalled { waited: limit });
        }
        Ok(false)
    }

    /// Saves the next owner from publishing again; not worth more than a moment.
    fn settle(&self) {
        let shared = &self.assignment.shared;
        let settle = round::settle(self.commands(), shared.clock.clone());
        let limit = self.time_left();
        match shared.runtime.block_on(async { tokio::time::timeout(limit, settle).await }) {
            Ok(round) => drop(self.rounds.send(round)),
            Err(_) => tracing::debug!("the next run publishes the last files again, which changes nothing"),
        }
    }
}
