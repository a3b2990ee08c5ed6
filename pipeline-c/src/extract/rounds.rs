//! When the consumer's loop begins a batch, and what it does when one is visible.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use std::time::Duration;

use common::run::Stopwatch;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::drive::Drive;
use crate::error::Error;
use crate::round::{self, Commands};

/// How often a run that stays looks, without a batch, if the topic is the same still.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// What the workers hold at a moment.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Records that were not judged yet.
    pub(super) backlog_bytes: u64,
    /// Rows that are not visible yet.
    pub(super) buffered_bytes: u64,
    /// Rows in open batches.
    pub(super) rows: u64,
    most_buffered_bytes: u64,
    most_rows: u64,
}

impl Load {
    /// Bytes in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.backlog_bytes + self.buffered_bytes
    }
}

impl Drive<'_> {
    /// What all workers hold.
    pub(super) fn load(&self) -> Load {
        let mut load = Load::default();
        for feed in self.assignment.lock().feeds.values() {
            let progress = &feed.worker.progress;
            let (buffered, rows) = (progress.buffered_bytes.load(Relaxed), progress.rows.load(Relaxed));
            load.backlog_bytes += progress.backlog_bytes.load(Relaxed);
            load.buffered_bytes += buffered;
            load.rows += rows;
            load.most_buffered_bytes = load.most_buffered_bytes.max(buffered);
            load.most_rows = load.most_rows.max(rows);
        }
        load
    }

    pub(super) fn drained(&self) -> bool {
        self.interval.is_none()
            && self.assignment.lock().feeds.values().all(|feed| feed.worker.progress.drained.load(Relaxed))
    }

    pub(super) fn round_is_due(&self) -> bool {
        let flush = &self.assignment.shared.config.flush;
        let load = self.load();
        if load.rows == 0 {
            return self.since_stop.is_none() && self.look_is_due();
        }
        if self.since_stop.is_some() {
            return !self.last_round_begun;
        }
        self.interval.is_some_and(|interval| self.since_round.elapsed() >= interval)
            || load.most_buffered_bytes >= flush.flush_bytes.0
            || load.most_rows >= flush.flush_rows
            || load.buffered_bytes >= self.rows_limit() / 2
            || self.drained()
    }

    /// Whether to look, without a batch, if the topic is the same still: now and then, or once in a single run.
    fn look_is_due(&self) -> bool {
        let (rebalances, idle) = {
            let inner = self.assignment.lock();
            (inner.rebalances, inner.feeds.is_empty())
        };
        !idle
            && match self.interval {
                Some(_) => self.since_look.elapsed() >= LOOK_EVERY,
                None => self.looked_at != Some(rebalances) && self.drained(),
            }
    }

    pub(super) fn commands(&self) -> Commands {
        let inner = self.assignment.lock();
        inner.feeds.iter().map(|(partition, feed)| (*partition, feed.worker.commands.clone())).collect()
    }

    pub(super) fn begin_round(&mut self) {
        self.last_round_begun = self.since_stop.is_some();
        if self.load().rows > 0 {
            self.since_round = Stopwatch::start();
            self.unsettled = true;
        }
        self.since_look = Stopwatch::start();
        self.looked_at = Some(self.assignment.lock().rebalances);
        let shared = &self.assignment.shared;
        let witnesses = Arc::clone(&shared.witnesses);
        let gate = (Arc::clone(&shared.gate), shared.config.gates.clone());
        let round = round::run(self.commands(), gate, shared.clock.clone(), witnesses);
        self.running = Some(shared.runtime.spawn(round));
    }

    /// A run that stays and has nothing to do.
    pub(super) fn idle_and_unsettled(&self) -> bool {
        self.unsettled && self.interval.is_some_and(|interval| self.since_round.elapsed() >= interval)
    }

    pub(super) fn begin_settling(&mut self) {
        self.unsettled = false;
        let shared = &self.assignment.shared;
        let settle = round::settle(self.commands(), shared.clock.clone());
        self.running = Some(shared.runtime.spawn(async { Ok(settle.await) }));
    }

    pub(super) fn finish_round(&mut self) -> Result<(), Error> {
        let Some(running) = self.running.take_if(|round| round.is_finished()) else { return Ok(()) };
        let round = self.assignment.shared.runtime.block_on(running);
        let round = round.map_err(|_| Error::Ended("a batch".to_owned()))??;
        if round.flushed.is_empty() {
            return Ok(());
        }
        self.since_record = Stopwatch::start();
        self.newest_visible_ms = self.newest_visible_ms.max(round.tally.newest_ms);
        let mut offsets = TopicPartitionList::new();
        for flush in round.flushed.iter().filter(|flush| flush.files > 0) {
            let (topic, offset) = (&self.assignment.shared.topic, Offset::Offset(flush.next_offset));
            if offsets.add_partition_offset(topic, flush.partition.0, offset).is_err() {
                tracing::debug!(offset = flush.next_offset, "not an offset for the group");
            }
        }
        // For lag tools; what counts is in the state objects.
        if offsets.count() > 0
            && let Err(error) = self.consumer.commit(&offsets, CommitMode::Async)
        {
            tracing::debug!(%error, "the group's offsets were not committed");
        }
        // Who reads the rounds has ended only when this is ending too.
        let _ = self.rounds.send(round);
        Ok(())
    }

    /// Saves the next owner from publishing again; not worth more than a moment.
    pub(super) fn settle(&self) {
        let shared = &self.assignment.shared;
        let settle = round::settle(self.commands(), shared.clock.clone());
        let limit = self.time_left();
        let settled = shared.runtime.block_on(async { tokio::time::timeout(limit, settle).await });
        if let Ok(round) = settled {
            // Who reads the rounds has ended only when this is ending too.
            let _ = self.rounds.send(round);
        } else {
            tracing::debug!("the next run publishes the last files again, which changes nothing");
        }
    }
}
