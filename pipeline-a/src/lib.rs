#![doc = include_str!("../README.md")]

mod config;
mod error;
mod extract;
mod load;
mod transform;

pub use config::{Config, ReadBack, WriteArgs};
pub use error::Error;

use common::batch::{Batch, BatchError, Outcome};
use common::increment::Increment;
use common::profiles::Profiles;
use common::run::{Clock, Exit, Shutdown, failpoint};
use common::source::Job;

/// Runs once, or with `--every` until `shutdown`; prints a report for each run.
pub async fn run(config: &Config, clock: &Clock, shutdown: &Shutdown) -> Exit {
    let settings = (&config.run, &config.source, &config.increment);
    common::batch::run(Job::Profiles, settings, clock, shutdown, async |batch| step(config, batch).await)
        .await
}

/// One batch: extract → transform → load → commit.
async fn step(config: &Config, batch: Batch<'_>) -> Result<Outcome, Error> {
    let keys = batch.source.check_schema().await?;
    let mut increment = Increment::find(batch.source, batch.job).await?;
    failpoint("found");
    if increment.is_empty(keys) {
        return Ok(Outcome::Idle(increment.idle(batch.report, 0)));
    }

    let extracted = extract::read(batch.source, keys, &mut increment, &config.increment).await?;
    failpoint("examined");
    extracted.examined.gate(config.increment.max_quarantine_ratio).map_err(BatchError::from)?;
    let gaps = increment.gaps_left(config.increment.gap_grace);
    extracted.examined.all_met().map_err(BatchError::from)?;
    let mut result = transform::profiles(extracted)?;
    if result.changes_nothing(&increment) && !increment.changed(&gaps) {
        return Ok(Outcome::Idle(increment.idle(batch.report, result.rows)));
    }

    let loader = load::Loader { batch: &batch, increment: &increment, settings: &config.write };
    loader.quarantine(&result).await?;
    failpoint("quarantined");
    if result.writes_profiles() {
        let profiles = Profiles::open(&config.profiles.profiles).await?;
        loader.write(&profiles, &mut result).await?;
    }
    Ok(Outcome::Committed(loader.commit(&result, &gaps).await?))
}
