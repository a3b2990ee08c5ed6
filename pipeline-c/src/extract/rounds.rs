//! When the consumer's loop begins a batch, and what it does when one is visible.

use std::sync::atomic::Ordering::Relaxed;

use common::run::Stopwatch;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::drive::Drive;
use crate::error::Error;
use crate::round::{self, Commands};

impl Drive<'_> {
    /// Bytes in all partitions, rows in all, and the most bytes and rows in one.
    pub(super) fn load(&self) -> (u64, u64, u64, u64) {
        self.assignment.lock().feeds.values().fold((0, 0, 0, 0), |(bytes, rows, most_bytes, most_rows), feed| {
            let progress = &feed.worker.progress;
            let (b, r) = (progress.bytes.load(Relaxed), progress.rows.load(Relaxed));
            (bytes + b, rows + r, most_bytes.max(b), most_rows.max(r))
        })
    }

    pub(super) fn drained(&self) -> bool {
        self.interval.is_none()
            && self.assignment.lock().feeds.values().all(|feed| feed.worker.progress.drained.load(Relaxed))
    }

    pub(super) fn round_is_due(&self) -> bool {
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

    pub(super) fn commands(&self) -> Commands {
        let inner = self.assignment.lock();
        inner.feeds.iter().map(|(partition, feed)| (*partition, feed.worker.commands.clone())).collect()
    }

    pub(super) fn begin_round(&mut self) {
        self.last_round_begun = self.since_stop.is_some();
        self.since_round = Stopwatch::start();
        self.unsettled = true;
        let shared = &self.assignment.shared;
        let round = round::run(self.commands(), shared.config.gates.clone(), shared.clock.clone());
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

    /// Saves the next owner from publishing again; not worth more than a moment.
    pub(super) fn settle(&self) {
        let shared = &self.assignment.shared;
        let settle = round::settle(self.commands(), shared.clock.clone());
        let limit = self.time_left();
        match shared.runtime.block_on(async { tokio::time::timeout(limit, settle).await }) {
            Ok(round) => drop(self.rounds.send(round)),
            Err(_) => tracing::debug!("the next run publishes the last files again, which changes nothing"),
        }
    }
}
