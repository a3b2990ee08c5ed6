#![doc = include_str!("../README.md")]

mod command;
mod config;
mod error;
mod extract;
mod load;
mod parquet;
mod transform;
mod verify;
mod window;

pub use command::{Command, RetryArgs};
pub use config::{Config, DateRange, SummaryArgs};
pub use error::Error;
pub use parquet::summary_schema;
pub use verify::VerifyArgs;

use common::batch::{Batch, BatchError, Outcome, Rehearsal};
use common::increment::{Gaps, Increment};
use common::lake::Lake;
use common::run::{Clock, Exit, RunReport, Shutdown, failpoint};
use common::source::{Job, Source};
use extract::Extracted;

/// Runs once, or with `--every` until `shutdown`; prints a report for each run.
pub async fn run(config: &Config, clock: &Clock, shutdown: &Shutdown) -> Exit {
    let settings = (&config.run, &config.source, &config.increment);
    if config.recompute.dry_run {
        let rehearse = async |source: &Source, report| rehearse(config, source, report).await;
        return common::batch::rehearse(Job::Summaries, settings, clock, shutdown, rehearse).await;
    }
    common::batch::run(Job::Summaries, settings, clock, shutdown, async |batch| step(config, batch).await)
        .await
}

/// One batch: extract → transform → load → commit, the middle steps window by window of dates.
async fn step(config: &Config, batch: Batch<'_>) -> Result<Outcome, Error> {
    let Prepared { increment, gaps, mut extracted } = prepare(config, batch.source).await?;
    let asked = config.dates.is_some() || increment.everything;
    if extracted.changes_nothing(&increment) && !increment.changed(&gaps) && !asked {
        return Ok(Outcome::Idle(increment.idle(batch.report, extracted.rows)));
    }

    let mut loader = load::Loader::new(&batch, &increment);
    if extracted.affects_dates() || asked {
        let lake = Lake::open(&config.lake.lake).await?;
        loader.look_at(&lake, &extracted).await?;
        failpoint("listed");
        extracted.add_asked(batch.source, &increment, loader.standing(), config.dates).await?;
        while let Some(window) = extracted.next_window(batch.source, &increment, config).await? {
            let gate = extracted.examined.gate(config.increment.max_quarantine_ratio);
            gate.map_err(|refused| loader.refused(refused))?;
            loader.replace(&lake, window).await?;
        }
        loader.all_made()?;
        extracted.examined.all_met().map_err(BatchError::from)?;
    }
    loader.quarantine(&extracted).await?;
    failpoint("quarantined");
    Ok(Outcome::Committed(loader.commit(&extracted, &gaps).await?))
}

/// What a batch starts from.
struct Prepared {
    increment: Increment,
    gaps: Gaps,
    extracted: Extracted,
}

/// Reads and checks what is new; writes nothing.
async fn prepare(config: &Config, source: &Source) -> Result<Prepared, Error> {
    let keys = source.check_schema().await?;
    let mut increment = Increment::find(source, Job::Summaries, &config.increment, &config.recompute).await?;
    failpoint("found");
    let nothing =
        increment.is_empty(keys) && config.dates.is_none() && source.transactions_without_key().await? == 0;
    let extracted = if nothing {
        Extracted::default()
    } else {
        extract::read(source, keys, &mut increment, config).await?
    };
    failpoint("examined");
    let gaps = increment.gaps_left(config.increment.gap_grace);
    Ok(Prepared { increment, gaps, extracted })
}

/// What a batch would recompute.
async fn rehearse(config: &Config, source: &Source, report: RunReport) -> Result<Rehearsal, Error> {
    let Prepared { increment, mut extracted, .. } = prepare(config, source).await?;
    if increment.everything || config.dates.is_some() {
        let files = load::standing(&Lake::open(&config.lake.lake).await?).await?;
        extracted.add_asked(source, &increment, files.keys().copied(), config.dates).await?;
    }
    while let Some(window) = extracted.next_window(source, &increment, config).await? {
        for (date, day) in window {
            day.summaries().map_err(|reason| Error::Summary { date, reason })?;
        }
    }
    extracted.examined.gate(config.increment.max_quarantine_ratio).map_err(BatchError::from)?;
    Ok(Rehearsal {
        report: increment.idle(report, extracted.rows),
        field: "dates",
        keys: extracted.dates.iter().map(|date| date.to_string().into()).collect(),
    })
}
