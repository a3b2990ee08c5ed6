//! The partitions that the group has given to this instance, and their workers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::lake::Lake;
use common::run::{Clock, Stopwatch, failpoint};
use futures::future::try_join_all;
use tokio::runtime::Handle;

use super::Chunk;
use crate::config::{Config, GateArgs};
use crate::error::Error;
use crate::ledger::{Claim, LogRange};
use crate::load::Loader;
use crate::memory::Room;
use crate::place::{PartitionId, Place};
use crate::schemas::Schemas;
use crate::standing::Standing;
use crate::state::TailRule;
use crate::tally::Gate;
use crate::transform::Record;
use crate::witnesses::Witnesses;
use crate::worker::{Delivery, WorkerHandle, spawn};

/// How long an assignment waits for the lake. The group waits for it, so it may not take for ever.
const CLAIM_PATIENCE: Duration = Duration::from_secs(20);

/// How long a revoked partition's flush may go on. It is safe to drop; finishing it saves the work.
const REVOKE_PATIENCE: Duration = Duration::from_secs(5);

/// What all partitions' work has in common.
#[derive(Debug)]
pub struct Shared {
    /// The job's settings.
    pub config: Config,
    /// The topic's name.
    pub topic: Arc<str>,
    /// Where files and state objects are.
    pub lake: Lake,
    /// Writer schemas.
    pub schemas: Arc<Schemas>,
    /// Tells whether the topic is the same still.
    pub witnesses: Arc<Witnesses>,
    /// Judges how much is malformed.
    pub gate: Arc<Gate>,
    /// Tells the time.
    pub clock: Clock,
    /// Name of this instance in state objects and messages.
    pub owner: String,
    /// How long the lake may be away in the middle of a flush.
    pub patience: Duration,
    /// Room for files that are being written.
    pub room: Room,
    /// Runs the asynchronous parts.
    pub runtime: Handle,
}

/// The partitions at hand. The consumer's callbacks change it, always on the thread that polls.
#[derive(Debug)]
pub struct Assignment {
    /// What all partitions' work has in common.
    pub shared: Shared,
    inner: Mutex<Inner>,
}

/// The mutable part.
#[derive(Debug, Default)]
pub struct Inner {
    /// Worker and open chunk of each partition.
    pub feeds: BTreeMap<PartitionId, Feed>,
    /// Partitions that another instance took although the group still gives them to this one.
    pub fenced: BTreeMap<PartitionId, (Stopwatch, Error)>,
    /// Partitions that cannot be worked on for a reason of their own, and why. The others go on.
    pub aside: BTreeMap<PartitionId, Error>,
    /// Where a single run ends; empty in a run that stays.
    pub ends: BTreeMap<PartitionId, i64>,
    /// What went wrong in a callback.
    pub failure: Option<Error>,
    /// Assignments and revocations so far.
    pub rebalances: u64,
}

/// The way of one partition's records to its worker.
#[derive(Debug)]
pub struct Feed {
    /// The worker.
    pub worker: WorkerHandle,
    chunk: Chunk,
    end: Option<i64>,
    end_sent: bool,
}

impl Inner {
    /// Takes a record along; false where no more are wanted. A partition without a worker was revoked or taken over:
    /// its next owner reads the record.
    pub fn take(&mut self, partition: PartitionId, record: &Record<'_>) -> bool {
        match self.feeds.get_mut(&partition) {
            Some(feed) => feed.push(record),
            None => !self.aside.contains_key(&partition),
        }
    }
}

impl Feed {
    /// Takes a record along; false once a single run has all that it is to read.
    pub fn push(&mut self, record: &Record<'_>) -> bool {
        if self.end_sent {
            return false;
        }
        if self.end.is_none_or(|end| record.offset < end) {
            self.chunk.push(record);
            if self.chunk.is_full() {
                self.hand_over();
            }
        }
        if self.end.is_some_and(|end| record.offset + 1 >= end) {
            self.send_end();
        }
        !self.end_sent
    }

    /// Sends what has been taken along.
    pub fn hand_over(&mut self) {
        if !self.chunk.is_empty() {
            let next = if self.chunk.is_full() { Chunk::roomy() } else { Chunk::default() };
            let chunk = std::mem::replace(&mut self.chunk, next);
            self.worker
                .progress
                .backlog_bytes
                .fetch_add(chunk.size_bytes(), std::sync::atomic::Ordering::Relaxed);
            // A worker that has ended is noticed by its `ended`.
            let _ = self.worker.deliveries.send(Delivery::Records(chunk));
        }
    }

    /// The log has no more for now: a single run is done with this partition.
    pub fn caught_up(&mut self) {
        if self.end.is_some() {
            self.send_end();
        }
    }

    fn send_end(&mut self) {
        if !self.end_sent {
            self.hand_over();
            let _ = self.worker.deliveries.send(Delivery::End);
            self.end_sent = true;
        }
    }
}

impl Assignment {
    /// Nothing assigned yet. `ends`: where a single run ends.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self { shared, inner: Mutex::default() }
    }

    /// The mutable part. Never hold it while polling: the callbacks take it too.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of a partition of the topic.
    #[must_use]
    pub fn place(&self, partition: PartitionId) -> Place {
        Place { topic: Arc::clone(&self.shared.topic), partition }
    }

    /// Claims partitions and starts their workers; returns where each goes on.
    pub fn assign(&self, logs: &BTreeMap<PartitionId, LogRange>) -> Result<Vec<(PartitionId, i64)>, Error> {
        let claimed = self.shared.runtime.block_on(self.claim(logs))?;
        let single = self.shared.config.run.every.is_none();
        let mut starts = Vec::with_capacity(claimed.len());
        let mut inner = self.lock();
        for loader in claimed {
            let (partition, next_offset) = (loader.place().partition, loader.next_offset());
            let log_end = logs.get(&partition).map(|log| log.end);
            let end = single.then(|| inner.ends.get(&partition).copied().or(log_end)).flatten();
            let worker = spawn(loader, Arc::clone(&self.shared.schemas), self.shared.runtime.clone())?;
            let mut feed = Feed { worker, chunk: Chunk::default(), end, end_sent: false };
            if end.is_some_and(|end| next_offset >= end) {
                feed.send_end();
            }
            inner.feeds.insert(partition, feed);
            inner.fenced.remove(&partition);
            starts.push((partition, next_offset));
        }
        Ok(starts)
    }

    async fn claim(&self, logs: &BTreeMap<PartitionId, LogRange>) -> Result<Vec<Loader>, Error> {
        let Shared { config, lake, owner, clock, .. } = &self.shared;
        let standing = Standing::list(lake, &self.shared.topic, CLAIM_PATIENCE).await?;
        failpoint("uploads_listed");
        let gates: &GateArgs = &config.gates;
        let claim = Claim { owner, at: clock.now(), gates, patience: CLAIM_PATIENCE };
        let rule = TailRule { mode: config.flush.tail, target_bytes: config.flush.target_file_size.0 };
        let claimed = try_join_all(logs.iter().map(async |(partition, log)| {
            let place = self.place(*partition);
            let loader = match Loader::claim(lake.clone(), place.clone(), *log, claim, rule, &standing).await
            {
                Err(error) if error.is_of_one_partition() => {
                    tracing::error!("{error}");
                    self.lock().aside.insert(*partition, error);
                    return Ok(None);
                }
                claimed => claimed?,
            };
            tracing::info!(%place, next_offset = loader.next_offset(), log_end = log.end, "assigned");
            Ok::<_, Error>(Some(loader.with_patience(self.shared.patience).within(self.shared.room.clone())))
        }));
        Ok(claimed.await?.into_iter().flatten().collect())
    }

    /// Ends the workers of partitions that go to another instance. Rows that are not committed are dropped: the
    /// next owner reads them again. `lost`: another instance may have them already, so nothing is waited for.
    pub fn revoke(&self, partitions: &[PartitionId], lost: bool) {
        let feeds: Vec<_> = {
            let mut inner = self.lock();
            inner.fenced.retain(|partition, _| !partitions.contains(partition));
            inner.aside.retain(|partition, _| !partitions.contains(partition));
            partitions
                .iter()
                .filter_map(|partition| Some((*partition, inner.feeds.remove(partition)?)))
                .collect()
        };
        for (partition, _) in &feeds {
            tracing::info!(place = %self.place(*partition), lost, "revoked");
        }
        failpoint("revoking");
        let patience = if lost { Duration::ZERO } else { REVOKE_PATIENCE };
        self.shared
            .runtime
            .block_on(end_workers(feeds.into_iter().map(|(_, feed)| feed.worker).collect(), patience));
    }

    /// The error of the first partition that is set aside, for the end of the run.
    pub fn set_aside(&self) -> Result<(), Error> {
        self.lock().aside.pop_first().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Ends all workers: at once what is idle, after `patience` what is in the middle of something.
    pub fn end_all(&self, patience: Duration) {
        let feeds = std::mem::take(&mut self.lock().feeds);
        self.shared
            .runtime
            .block_on(end_workers(feeds.into_values().map(|feed| feed.worker).collect(), patience));
    }
}

async fn end_workers(workers: Vec<WorkerHandle>, patience: Duration) {
    let (mut ended, mut abandon) = (Vec::new(), Vec::new());
    for WorkerHandle { ended: end, abandon: token, .. } in workers {
        // Its channels are closed now; an error on the way out concerns the next owner no more.
        ended.push(end);
        abandon.push(token);
    }
    let all = futures::future::join_all(ended);
    tokio::pin!(all);
    if tokio::time::timeout(patience, &mut all).await.is_err() {
        abandon.iter().for_each(tokio_util::sync::CancellationToken::cancel);
        all.await;
    }
}
