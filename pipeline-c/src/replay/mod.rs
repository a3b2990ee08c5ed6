//! Moves malformed records that can be read now from `events_malformed` to `events`.
//!
//! Partition by partition, beside its owner: one commit names the new files of `events` and what is left of the files
//! of `events_malformed`, so that a kill is finished by whoever claims the partition next.

mod left;
mod partition;
mod report;

use std::time::Duration;

use chrono::NaiveDate;
use clap::Args;
use common::avro::Registry;
use common::run::{Clock, Shutdown};
use common::settings::{RegistryArgs, duration};

use crate::commands::{FilesArgs, OutputArgs, each_partition};
use crate::error::Error;
use crate::judging::Judge;
use crate::schemas::Schemas;
use crate::transform::Reason;
use partition::Partition;
pub use report::Replayed;

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

/// Tries all that is selected. An instance may go on meanwhile.
pub async fn run(args: &ReplayArgs, clock: &Clock, shutdown: &Shutdown) -> Result<Replayed, Error> {
    let lake = args.files.open().await?;
    let schemas = Schemas::new(Registry::open(&args.registry.registry)?, args.outage_limit);
    let (judge, topic) = (Judge::new(schemas), &args.files.topic);
    let selection = Selection { reason: args.reason, from: args.from, to: args.to };
    let mut replayed = Replayed::of(topic);
    replayed.failed = each_partition((&lake, topic), shutdown, async |place| {
        let (lake, place, patience, judge) = (lake.clone(), place.clone(), args.outage_limit, &judge);
        let partition = Partition { lake, place, selection, patience, clock, judge, shutdown };
        partition.replay(&mut replayed).await
    })
    .await?;
    replayed.interrupted = shutdown.requested();
    Ok(replayed)
}
