//! Keeps what the workers hold within `--max-memory`.

use std::time::Duration;

use common::run::Stopwatch;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;

use super::drive::Drive;
use super::rounds::Load;
use crate::error::Error;
use crate::memory::Budget;
use crate::place::PartitionId;

/// Longest time without polling while workers judge what they have.
const CATCH_UP: Duration = Duration::from_millis(500);

impl Drive<'_> {
    /// Bytes of records and rows that the workers may hold.
    pub(super) fn rows_limit(&self) -> u64 {
        Budget::of(self.assignment.shared.config.flush.max_memory).rows.0
    }

    /// Reading is faster than judging: what is not judged yet may not take the rows' room. A short wait keeps what
    /// librdkafka has read ahead, pausing would throw it away.
    pub(super) fn let_workers_catch_up(&self) {
        let limit = self.rows_limit();
        let watch = Stopwatch::start();
        let busy = |load: &Load| {
            let flushing = self.running.as_ref().is_some_and(|round| !round.is_finished());
            load.backlog_bytes > limit / 4 || (flushing && load.bytes() >= limit)
        };
        while busy(&self.load()) && watch.elapsed() < CATCH_UP {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Pauses all partitions while the limit is reached, those too that the group gives to this instance meanwhile.
    pub(super) fn bound_memory(&mut self) -> Result<(), Error> {
        let limit = self.rows_limit();
        let bytes = self.load().bytes();
        let full = bytes >= if self.paused.is_some() { limit / 2 } else { limit };
        let (partitions, rebalances) = {
            let inner = self.assignment.lock();
            (inner.feeds.keys().copied().collect::<Vec<_>>(), inner.rebalances)
        };
        if full && self.paused != Some(rebalances) {
            self.pause(&partitions)?;
            self.paused = Some(rebalances);
            tracing::debug!(bytes, limit, "consumption pauses");
        } else if !full && self.paused.take().is_some() {
            self.consumer.resume(&self.list(&partitions)).map_err(Error::kafka("resume consumption"))?;
            tracing::debug!(bytes, limit, "consumption goes on");
        }
        Ok(())
    }

    /// Freshness grows until the next batch is visible; at a batch's end it is in the report too.
    #[allow(clippy::cast_precision_loss)] // gauges are floats; bytes and milliseconds are far below 2^53
    pub(super) fn gauge(&self) {
        metrics::gauge!("tributary_buffered_bytes").set(self.load().bytes() as f64);
        if let Some(newest) = self.newest_visible_ms {
            let age_ms = self.assignment.shared.clock.now().timestamp_millis() - newest;
            metrics::gauge!("tributary_freshness_seconds").set(age_ms.max(0) as f64 / 1_000.0);
        }
    }

    pub(super) fn pause(&self, partitions: &[PartitionId]) -> Result<(), Error> {
        self.consumer.pause(&self.list(partitions)).map_err(Error::kafka("pause consumption"))
    }

    fn list(&self, partitions: &[PartitionId]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.assignment.shared.topic, partition.0);
        }
        list
    }
}
