#![doc = include_str!("../README.md")]

mod config;
mod error;
mod extract;
mod load;
mod parquet;
mod transform;

pub use config::{Config, SummaryArgs};
pub use error::Error;
pub use parquet::summary_schema;

use common::batch::{Batch, BatchError, Outcome};
use common::increment::Increment;
use common::lake::Lake;
use common::run::{Clock, Exit, Shutdown, failpoint};
use common::source::Job;

/// Runs once, or with `--every` until `shutdown`; prints a report for each run.
pub async fn run(config: &Config, clock: &Clock, shutdown: &Shutdown) -> Exit {
    let settings = (&config.run, &config.source, &config.increment);
    common::batch::run(Job::Summaries, settings, clock, shutdown, async |batch| step(config, batch).await)
        .await
}

/// One batch: extract → transform → load → commit, the middle steps window by window of dates.
async fn step(config: &Config, batch: Batch<'_>) -> Result<Outcome, Error> {
    let keys = batch.source.check_schema().await?;
    let mut increment = Increment::find(batch.source, batch.job).await?;
    failpoint("found");
    if increment.is_empty(keys) {
        return Ok(Outcome::Idle(increment.idle(batch.report, 0)));
    }

    let mut extracted = extract::read(batch.source, keys, &mut increment, config).await?;
    failpoint("examined");
    extracted.examined.gate(config.increment.max_quarantine_ratio).map_err(BatchError::from)?;
    let gaps = increment.gaps_left(config.increment.gap_grace);
    if extracted.changes_nothing(&increment) && !increment.changed(&gaps) {
        return Ok(Outcome::Idle(increment.idle(batch.report, extracted.rows)));
    }

    let mut loader = load::Loader::new(&batch, &increment);
    loader.quarantine(&extracted).await?;
    failpoint("quarantined");
    if extracted.affects_dates() {
        let lake = Lake::open(&config.lake.lake).await?;
        loader.look_at(&lake, &mut extracted).await?;
        failpoint("listed");
        while let Some(window) = extracted.next_window(batch.source, &increment, config).await? {
            loader.replace(&lake, window).await?;
        }
        extracted.examined.all_met().map_err(BatchError::from)?;
        // What the recomputation found to reject besides has to be in quarantine before the offset moves.
        loader.quarantine(&extracted).await?;
    }
    Ok(Outcome::Committed(loader.commit(&extracted, &gaps).await?))
}
