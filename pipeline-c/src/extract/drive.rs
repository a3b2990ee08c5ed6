//! The consumer's loop: records to workers, batches when they are due, until there is a reason to end.

use std::sync::Arc;
use std::time::Duration;

use common::run::{Shutdown, Stopwatch};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use tokio::sync::mpsc;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::task::JoinHandle;

use super::{Assignment, EventConsumer};
use crate::error::Error;
use crate::place::PartitionId;
use crate::round::Round;
use crate::topic_log::{judge_error, record};
use crate::worker::ended_unexpectedly;

/// Longest wait for a record before looking at what else is to be done.
const POLL: Duration = Duration::from_millis(20);

/// Records taken in a row before looking at what else is to be done.
const POLL_BYTES: usize = 2 * 1024 * 1024;

/// What a record takes besides its key and value, about.
const RECORD_BYTES: usize = 64;

/// After a signal: time to make visible what is there. The program has 10 s in all.
const STOP_WITHIN: Duration = Duration::from_secs(7);

/// How long the group may take to assign partitions to a single run.
const ASSIGN_WITHIN: Duration = Duration::from_secs(90);

/// A single run that was assigned nothing for this long leaves all partitions to the group's other members.
const IDLE_MEMBER: Duration = Duration::from_secs(15);

/// A partition that was taken over should be revoked by the group within this time.
const FENCED_FOR: Duration = Duration::from_mins(1);

/// How long the batch that is being written may hold up the end of a run whose topic is another one.
const LET_BATCH_END: Duration = Duration::from_secs(30);

/// How long a run that stays leaves partitions set aside before it tries them again.
const ASIDE_FOR: Duration = Duration::from_mins(1);

pub(super) struct Drive<'a> {
    pub(super) consumer: &'a EventConsumer,
    pub(super) assignment: &'a Assignment,
    shutdown: &'a Shutdown,
    pub(super) rounds: &'a mpsc::UnboundedSender<Round>,
    /// Longest time between rounds; a single run has none.
    pub(super) interval: Option<Duration>,
    pub(super) running: Option<JoinHandle<Result<Round, Error>>>,
    pub(super) since_round: Stopwatch,
    pub(super) since_record: Stopwatch,
    since_start: Stopwatch,
    /// Since this instance had a partition.
    since_partition: Stopwatch,
    pub(super) since_stop: Option<Stopwatch>,
    pub(super) last_round_begun: bool,
    /// Kafka's timestamp of the newest record that is visible.
    pub(super) newest_visible_ms: Option<i64>,
    /// Since the topic was looked at, and how many rebalances there had been; see `witnesses`.
    pub(super) since_look: Stopwatch,
    pub(super) looked_at: Option<u64>,
    /// Something was published since the state objects last said that nothing is pending.
    pub(super) unsettled: bool,
    /// Consumption pauses since this many rebalances.
    pub(super) paused: Option<u64>,
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
        since_partition: Stopwatch::start(),
        since_stop: None,
        last_round_begun: false,
        newest_visible_ms: None,
        since_look: Stopwatch::start(),
        looked_at: None,
        unsettled: true,
        paused: None,
    };
    let ended = drive.run();
    let patience = if ended.is_ok() { drive.time_left() } else { Duration::ZERO };
    let ended = ended.and_then(|()| assignment.set_aside());
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
            self.gauge();
            self.finish_round()?;
            let stops = self.shutdown.requested() || self.tries_again_what_is_aside();
            if stops && self.since_stop.is_none() {
                self.since_stop = Some(Stopwatch::start());
            }
            if self.running.is_some() {
                if self.time_left().is_zero() {
                    tracing::warn!(
                        "not all that was read could be made visible in time; it will be read again"
                    );
                    return Ok(());
                }
            } else if self.round_is_due() {
                self.begin_round();
            } else if self.idle_and_unsettled() {
                self.begin_settling();
            } else if self.since_stop.is_some() || self.complete()? {
                self.settle();
                return Ok(());
            }
        }
    }

    /// Time left after a signal; without one, as much as is ever needed.
    pub(super) fn time_left(&self) -> Duration {
        self.since_stop.map_or(STOP_WITHIN, |since| STOP_WITHIN.saturating_sub(since.elapsed()))
    }

    fn take_records(&mut self) -> Result<(), Error> {
        self.let_workers_catch_up();
        let mut wait = POLL;
        let mut bytes = 0;
        while bytes < POLL_BYTES {
            let Some(polled) = self.consumer.poll(wait) else { break };
            wait = Duration::ZERO;
            match polled {
                Ok(message) => {
                    bytes += message.payload_len() + message.key_len() + RECORD_BYTES;
                    let record = record(&message);
                    let partition = PartitionId(message.partition());
                    if !self.assignment.lock().take(partition, &record) {
                        self.pause(&[partition])?;
                    }
                }
                Err(KafkaError::PartitionEOF(partition)) => {
                    if let Some(feed) = self.assignment.lock().feeds.get_mut(&PartitionId(partition)) {
                        feed.caught_up();
                    }
                }
                Err(error) => judge_error(&self.assignment.shared.topic, error)?,
            }
        }
        if bytes > 0 {
            self.since_record = Stopwatch::start();
        }
        self.assignment.lock().feeds.values_mut().for_each(super::assignment::Feed::hand_over);
        Ok(())
    }

    fn check_failures(&mut self) -> Result<(), Error> {
        let failed = self.failures();
        if matches!(failed, Err(Error::Restarted { .. } | Error::OtherTopic { .. })) {
            // Other partitions may be in the middle of the same batch, which is to be reported.
            let watch = Stopwatch::start();
            while self.running.as_ref().is_some_and(|round| !round.is_finished())
                && watch.elapsed() < LET_BATCH_END
                && !self.shutdown.requested()
            {
                std::thread::sleep(POLL);
            }
            self.finish_round()?;
        }
        failed
    }

    fn failures(&self) -> Result<(), Error> {
        let mut inner = self.assignment.lock();
        if let Some(failure) = inner.failure.take() {
            return Err(failure);
        }
        let mut ended = Vec::new();
        for (partition, feed) in &mut inner.feeds {
            match feed.worker.ended.try_recv() {
                Err(TryRecvError::Empty) => {}
                Ok(Err(error)) => ended.push((*partition, error)),
                Ok(Ok(())) | Err(TryRecvError::Closed) => {
                    ended.push((*partition, ended_unexpectedly(&self.assignment.place(*partition))));
                }
            }
        }
        // Its end can be received once only.
        inner.feeds.retain(|partition, _| !ended.iter().any(|(gone, _)| gone == partition));
        for (partition, error) in ended {
            if error.is_of_one_partition() {
                tracing::error!("{error}");
                inner.aside.insert(partition, error);
                continue;
            }
            if !matches!(error, Error::Fenced { .. }) || self.interval.is_none() {
                return Err(error);
            }
            tracing::warn!(%error, "dropping what was read of this partition");
            inner.fenced.insert(partition, (Stopwatch::start(), error));
        }
        let overdue =
            inner.fenced.iter().find(|(_, (since, _))| since.elapsed() > FENCED_FOR).map(|(id, _)| *id);
        match overdue.and_then(|partition| inner.fenced.remove(&partition)) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// Whether a run that stays is to end, after a last batch of the other partitions, and to begin again: perhaps what
    /// was wrong with those that are set aside has been mended.
    fn tries_again_what_is_aside(&self) -> bool {
        self.interval.is_some()
            && self.since_start.elapsed() > ASIDE_FOR
            && !self.assignment.lock().aside.is_empty()
    }

    /// Whether a single run has read and written what there was when it started.
    fn complete(&mut self) -> Result<bool, Error> {
        if self.interval.is_some() {
            return Ok(false);
        }
        let (rebalances, partitions, aside) = {
            let inner = self.assignment.lock();
            (inner.rebalances, inner.feeds.len(), inner.aside.len())
        };
        if partitions == 0 {
            if aside > 0 {
                return Ok(true);
            }
            let waited = self.since_start.elapsed();
            if rebalances == 0 && waited > ASSIGN_WITHIN {
                let group = self.assignment.shared.config.group.clone();
                return Err(Error::NoAssignment { group, waited });
            }
            if rebalances > 0 && self.since_partition.elapsed() > IDLE_MEMBER {
                tracing::info!("all partitions are with other members of the group");
                return Ok(true);
            }
            return Ok(false);
        }
        self.since_partition = Stopwatch::start();
        if self.drained() {
            return Ok(true);
        }
        let limit = self.assignment.shared.config.gates.outage_limit;
        // While records wait to be decoded it is not Kafka that is waited for, and the worker tells what is.
        let waiting_for_kafka = self.paused.is_none() && self.load().backlog_bytes == 0;
        if waiting_for_kafka && self.since_record.elapsed() > limit {
            return Err(Error::Stalled { waited: limit });
        }
        Ok(false)
    }
}
