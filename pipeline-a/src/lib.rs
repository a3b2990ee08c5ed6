#![doc = include_str!("../README.md")]

mod asked;
mod command;
mod config;
mod error;
mod extract;
mod load;
mod transform;
mod verify;

pub use command::{Command, RetryArgs};
pub use config::{Config, CustomersArgs, ReadBack, WriteArgs};
pub use error::Error;
pub use verify::VerifyArgs;

use common::batch::{Batch, BatchError, Outcome, Rehearsal};
use common::increment::{Gaps, Increment};
use common::profiles::Profiles;
use common::run::{Clock, Exit, RunReport, Shutdown, failpoint};
use common::source::{Job, Source};
use transform::Profiled;

/// Runs once, or with `--every` until `shutdown`; prints a report for each run.
pub async fn run(config: &Config, clock: &Clock, shutdown: &Shutdown) -> Exit {
    let settings = (&config.run, &config.source, &config.increment);
    if config.recompute.dry_run {
        let rehearse = async |source: &Source, report| rehearse(config, source, report).await;
        return common::batch::rehearse(Job::Profiles, settings, clock, shutdown, rehearse).await;
    }
    common::batch::run(Job::Profiles, settings, clock, shutdown, async |batch| step(config, batch).await)
        .await
}

/// One batch: extract → transform → load → commit.
async fn step(config: &Config, batch: Batch<'_>) -> Result<Outcome, Error> {
    let Prepared { increment, gaps, mut result } = prepare(config, batch.source).await?;
    if result.changes_nothing(&increment) && !increment.changed(&gaps) {
        return Ok(Outcome::Idle(increment.idle(batch.report, result.rows)));
    }

    let loader = load::Loader { batch: &batch, increment: &increment, settings: &config.write };
    if result.writes_profiles() {
        let profiles = Profiles::open(&config.profiles.profiles).await?;
        loader.write(&profiles, &mut result).await?;
    }
    loader.quarantine(&result).await?;
    failpoint("quarantined");
    Ok(Outcome::Committed(loader.commit(&result, &gaps).await?))
}

/// All that a batch is going to write.
struct Prepared {
    increment: Increment,
    gaps: Gaps,
    result: Profiled,
}

/// Reads, checks and sums up; writes nothing.
async fn prepare(config: &Config, source: &Source) -> Result<Prepared, Error> {
    let keys = source.check_schema().await?;
    let mut increment = Increment::find(source, Job::Profiles, &config.increment, &config.recompute).await?;
    failpoint("found");
    let asked = asked::customers(config, source, &increment).await?;
    if increment.is_empty(keys) && asked.is_empty() && source.transactions_without_key().await? == 0 {
        let gaps = increment.gaps_left(config.increment.gap_grace);
        return Ok(Prepared { increment, gaps, result: Profiled::default() });
    }
    let extracted = extract::read(source, keys, &mut increment, asked, &config.increment).await?;
    failpoint("examined");
    let gaps = increment.gaps_left(config.increment.gap_grace);
    extracted.examined.all_met().map_err(BatchError::from)?;
    extracted.examined.gate(config.increment.max_quarantine_ratio).map_err(BatchError::from)?;
    let result = transform::profiles(extracted)?;
    Ok(Prepared { increment, gaps, result })
}

/// What a batch would recompute.
async fn rehearse(config: &Config, source: &Source, report: RunReport) -> Result<Rehearsal, Error> {
    let Prepared { increment, result, .. } = prepare(config, source).await?;
    let written = result.profiles.iter().map(|profile| profile.customer_id);
    let mut customers: Vec<_> = written.chain(result.gone.iter().copied()).collect();
    customers.sort_unstable();
    Ok(Rehearsal {
        report: increment.idle(report, result.rows).with("customers", customers.len()),
        field: "customer_ids",
        keys: customers.iter().map(|id| id.0.into()).collect(),
    })
}
