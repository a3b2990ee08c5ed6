//! One batch over all partitions: close, judge, write.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::run::{Clock, Stopwatch};
use futures::future::join_all;
use tokio::sync::{mpsc, oneshot};

use crate::config::GateArgs;
use crate::error::Error;
use crate::place::PartitionId;
use crate::tally::{Gate, Tally};
use crate::witnesses::{Known, Witnesses};
use crate::worker::{Command, Flushed, Sealed};

/// The commands of each partition's worker.
pub type Commands = BTreeMap<PartitionId, mpsc::UnboundedSender<Command>>;

/// A batch that is visible, but for partitions whose worker has ended in the middle of it.
#[derive(Debug)]
pub struct Round {
    /// Counts of the partitions that were written.
    pub tally: Tally,
    /// What was written.
    pub flushed: Vec<Flushed>,
    /// Now minus the newest record's Kafka timestamp, in milliseconds.
    pub freshness_ms: Option<i64>,
    /// How long it took.
    pub watch: Stopwatch,
}

/// Closes the batch in all partitions, judges it as a whole and makes it visible, but for partitions whose topic is
/// another one: their workers end. Without a record there is nothing to write, and only that is looked for.
///
/// [`Error::Refused`]: nothing of it was committed, and the workers' batches are to be dropped.
pub async fn run(
    mut commands: Commands,
    (gate, gates): (Arc<Gate>, GateArgs),
    clock: Clock,
    witnesses: Arc<Witnesses>,
) -> Result<Round, Error> {
    let watch = Stopwatch::start();
    let sealed = join_all(
        commands
            .iter()
            .map(async |(partition, worker)| Some((*partition, ask(worker, Command::Seal).await?))),
    )
    .await;
    let (mut tallies, mut known) = (BTreeMap::new(), Known::new());
    let idle = sealed.iter().flatten().all(|(_, sealed)| sealed.tally.records == 0);
    for (partition, Sealed { tally, witness }) in sealed.into_iter().flatten() {
        // A broker that is down holds up its own partitions: where there is something to write, only what is written is
        // asked about.
        let asked = witness.filter(|_| idle || tally.records > 0);
        known.extend(asked.map(|witness| (partition, witness)));
        tallies.insert(partition, tally);
    }
    let mut batch = Tally::default();
    for tally in tallies.values() {
        batch.add(tally.clone());
    }
    gate.pass(&batch, &gates)?;
    for (partition, log) in witnesses.others(known).await? {
        if let Some(worker) = commands.remove(&partition) {
            ask(&worker, |reply| Command::Leave(log.start, reply)).await;
        }
    }
    if batch.records == 0 {
        commands.clear();
    }
    let at = clock.now();
    let flushed =
        join_all(commands.values().map(|worker| ask(worker, |reply| Command::Flush(at, reply)))).await;
    let flushed: Vec<Flushed> = flushed.into_iter().flatten().collect();
    let mut tally = Tally::default();
    for written in flushed.iter().filter_map(|flush| tallies.remove(&flush.partition)) {
        tally.add(written);
    }
    let freshness_ms = tally.newest_ms.map(|newest| (clock.now().timestamp_millis() - newest).max(0));
    Ok(Round { tally, flushed, freshness_ms, watch })
}

/// Writes down in all partitions that everything is visible, as far as they still answer. A batch without records.
pub async fn settle(commands: Commands, clock: Clock) -> Round {
    let watch = Stopwatch::start();
    let at = clock.now();
    let settled =
        join_all(commands.values().map(|worker| ask(worker, |reply| Command::Settle(at, reply)))).await;
    let flushed = settled.into_iter().flatten().collect();
    Round { tally: Tally::default(), flushed, freshness_ms: None, watch }
}

/// `None` when the worker has ended: whoever owns it tells why.
async fn ask<T>(
    worker: &mpsc::UnboundedSender<Command>,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    worker.send(command(reply)).ok()?;
    answer.await.ok()
}
