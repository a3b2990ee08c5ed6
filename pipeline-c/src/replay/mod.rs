//! Moves malformed records that can be read now from `events_malformed` to `events`.
//!
//! Partition by partition, as its owner: one commit names the new files of `events` and what is left of the files
//! of `events_malformed`, so that a kill is finished by whoever claims the partition next.

mod partition;
mod report;

use std::time::Duration;

use chrono::NaiveDate;
use clap::Args;
use common::avro::Registry;
use common::run::{Clock, new_run_id};
use common::settings::{RegistryArgs, duration};

use crate::commands::{FilesArgs, OutputArgs};
use crate::error::Error;
use crate::inventory::states;
use crate::judging::Judge;
use crate::place::Place;
use crate::schemas::Schemas;
use crate::transform::Reason;
use partition::Partition;
pub use report::Replayed;

/// How often a partition is begun again because a running instance has taken it over.
const ATTEMPTS: u32 = 3;

/// Settings of `replay-malformed`.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    files: FilesArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Only records that were malformed for this reason
    #[arg(long, value_enum)]
    reason: Option<Reason>,
    /// Only records that were ingested on this date (UTC) or later
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<NaiveDate>,
    /// Only records that were ingested on this date (UTC) or before
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<NaiveDate>,
    /// How long an outage of the registry or the lake is waited out
    #[arg(long, env = "OUTAGE_LIMIT", value_name = "DURATION", default_value = "10m", value_parser = duration)]
    outage_limit: Duration,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Which malformed records are tried.
#[derive(Debug, Clone, Copy)]
pub struct Selection {
    /// Those of this reason; all when there is none.
    pub reason: Option<Reason>,
    /// Ingested on this date or later.
    pub from: Option<NaiveDate>,
    /// Ingested on this date or before.
    pub to: Option<NaiveDate>,
}

impl Selection {
    /// Whether the files of this date are looked at.
    #[must_use]
    pub fn has(&self, date: NaiveDate) -> bool {
        self.from.is_none_or(|from| from <= date) && self.to.is_none_or(|to| date <= to)
    }
}

/// Tries all that is selected. Only partitions that have something to move are claimed.
pub async fn run(args: &ReplayArgs, clock: &Clock) -> Result<Replayed, Error> {
    let lake = args.files.open().await?;
    let schemas = Schemas::new(Registry::open(&args.registry.registry)?, args.outage_limit);
    let mut judge = Judge::new(schemas);
    let (topic, owner) = (&args.files.topic, format!("replay-malformed {}", new_run_id()));
    let selection = Selection { reason: args.reason, from: args.from, to: args.to };
    let mut replayed = Replayed::of(topic);
    for place in states(&lake, topic).await?.into_keys() {
        let (lake, patience) = (lake.clone(), args.outage_limit);
        let mut partition =
            Partition { lake, place, selection, owner: &owner, patience, clock, judge: &mut judge };
        replayed.add(try_partition(&mut partition).await?);
    }
    Ok(replayed)
}

async fn try_partition(partition: &mut Partition<'_>) -> Result<Replayed, Error> {
    let surveyed = partition.survey().await?;
    if surveyed.moved == 0 {
        return Ok(surveyed);
    }
    let mut attempt = 1;
    loop {
        match partition.replay().await {
            Err(error @ Error::Fenced { .. }) if attempt < ATTEMPTS => {
                attempt += 1;
                tracing::info!(%error, "beginning again");
            }
            done => return done,
        }
    }
}

/// The place in messages.
fn no_longer(place: &Place) -> Error {
    Error::Busy { place: place.clone() }
}
