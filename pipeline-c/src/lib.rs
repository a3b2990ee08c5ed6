#![doc = include_str!("../README.md")]

mod batch;
mod commands;
mod compact;
mod config;
mod decode;
mod encode;
mod error;
mod extract;
mod fingerprint;
pub mod heap;
mod history;
mod inventory;
mod judging;
mod ledger;
mod load;
mod memory;
mod place;
mod replay;
mod report;
mod rewrite;
mod round;
mod schemas;
mod standing;
mod state;
mod status;
mod tally;
mod timestamp;
mod topic_log;
mod transform;
mod verify;
mod witnesses;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use common::avro::Registry;
use common::lake::Lake;
use common::run::{Clock, Exit, Shutdown, new_run_id};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

pub use commands::Command;
pub use config::{Config, FlushArgs, GateArgs, OnGap, OnLostFile, OnMalformed, OnNewTopic, TailMode};
pub use error::Error;
use extract::{Assignment, Shared};
use history::History;
pub use history::newest_reports;
use memory::{Budget, Room};
use report::Reports;
use schemas::Schemas;
use witnesses::Witnesses;

/// After a signal a program has 10 s.
const STOP_WITHIN: Duration = Duration::from_secs(9);

/// With `--every`, outages are waited for without end.
const WITHOUT_END: Duration = Duration::from_hours(365 * 24);

/// Moves events from Kafka to the lake: once to the end of the topic, or with `--every` until `shutdown`.
///
/// After a failure nothing is lost; a run that stays tries again at the next interval.
pub async fn run(config: &Config, clock: Clock, shutdown: &Shutdown) -> Exit {
    let mut reports = Reports::new(&clock, config.run.output);
    loop {
        let result = consume(config, &clock, shutdown, &mut reports).await;
        if let Err(error @ Error::Restarted { .. }) = &result
            && !shutdown.requested()
        {
            tracing::warn!("{error}");
            continue;
        }
        // Who stops a run that stays wants to know what is new, not that it was idle once more.
        if result.is_ok() && config.run.every.is_some() && reports.have_said_all() {
            return Exit::Done;
        }
        let exit = reports.conclude(&result).await;
        let Some(every) = config.run.every else { return exit };
        // A refused batch would be refused again, and bad settings stay bad.
        if matches!(exit, Exit::Usage | Exit::Refused)
            || shutdown.requested()
            || shutdown.or(tokio::time::sleep(every)).await.is_none()
        {
            return exit;
        }
    }
}

/// Consumes until a single run is complete or a signal comes; a run that stays reports each batch.
async fn consume(
    config: &Config,
    clock: &Clock,
    shutdown: &Shutdown,
    reports: &mut Reports,
) -> Result<(), Error> {
    let lake = Lake::open(&config.lake.lake).await?;
    reports.keep_in(History::of(lake.clone(), &config.kafka.topic));
    let patience = if config.run.every.is_some() { WITHOUT_END } else { config.gates.outage_limit };
    let registry = Registry::open(&config.registry.registry)?;
    let assignment = Arc::new(Assignment::new(Shared {
        topic: config.kafka.topic.as_str().into(),
        config: config.clone(),
        lake,
        schemas: Arc::new(Schemas::new(registry, patience)),
        gate: Arc::default(),
        witnesses: Arc::new(Witnesses::open(&config.kafka, patience)?),
        clock: clock.clone(),
        owner: new_run_id(),
        patience,
        room: Room::of(Budget::of(config.flush.max_memory).files),
        runtime: Handle::current(),
    }));
    let (rounds, mut visible) = mpsc::unbounded_channel();
    let (end, ended) = oneshot::channel();
    let stop = shutdown.clone();
    // A thread of its own, so that a program that is told to stop need not wait for a broker that does not answer.
    std::thread::spawn(move || {
        let driven = extract::connect(&assignment).and_then(|consumer| {
            let driven = extract::drive(&consumer, &assignment, &stop, &rounds);
            extract::leave(consumer);
            driven
        });
        // Nobody waits for a job that took too long to stop.
        let _ = end.send(driven);
    });
    // The channel closes when the job ends, after its last batch.
    let all_rounds = async {
        while let Some(round) = reports.next(&mut visible, config.run.every).await {
            reports.add(&round);
            if config.run.every.is_some() && round.tally.records > 0 {
                reports.conclude(&Ok(())).await;
            }
        }
        ended.await.map_err(|_| Error::Ended("the consumer".to_owned()))?
    };
    tokio::select! { result = all_rounds => result, () = overdue(shutdown) => Ok(()) }
}

/// Told to stop, and did not in time: what is not visible yet is read again by the next run.
async fn overdue(shutdown: &Shutdown) {
    shutdown.wait().await;
    tokio::time::sleep(STOP_WITHIN).await;
    tracing::warn!("stopping in the middle of something that took too long");
}
