#![doc = include_str!("../README.md")]

mod config;
mod error;
mod extract;
mod load;
mod parquet;
mod transform;

pub use config::{Config, Tuning};
pub use error::Error;
pub use parquet::summary_schema;

use common::batch::{Outcome, under_lease};
use common::increment::Increment;
use common::lake::Lake;
use common::run::{Clock, Exit, RunReport, Shutdown, Stopwatch, new_run_id, repeat};
use common::source::{Job, Lease, Source};

const JOB: Job = Job::Summaries;

/// Runs once, or with `--every` until `shutdown`; prints a report for each run.
pub async fn run(config: &Config, clock: &Clock, shutdown: &Shutdown) -> Exit {
    repeat(&config.run, shutdown, async || {
        let report = RunReport::started(JOB.name(), &new_run_id(), clock.now());
        let source = match Source::open(&config.source.source).await {
            Ok(source) => source,
            Err(error) => return (report, Err(error.into())),
        };
        under_lease(&source, JOB, config.tuning.lease_ttl, shutdown, report, async |lease, report| {
            batch(config, clock, &source, lease, report).await
        })
        .await
    })
    .await
}

/// One batch: extract → transform → load → commit, the middle steps window by window of dates.
async fn batch(
    config: &Config,
    clock: &Clock,
    source: &Source,
    lease: &Lease,
    report: RunReport,
) -> Result<Outcome, Error> {
    let watch = Stopwatch::start();
    let tuning = &config.tuning;
    let keys = source.check_schema().await?;
    let mut increment = Increment::find(source, JOB).await?;
    if increment.is_empty() {
        return Ok(Outcome::Idle(load::idle_report(report, &increment, &watch)));
    }

    let mut extracted = extract::read(source, keys, &mut increment, tuning).await?;
    extracted.examined.gate(tuning.max_quarantine_ratio)?;
    let gaps = increment.gaps_left(tuning.gap_grace);
    if extracted.changes_nothing() && !increment.changed(&gaps) {
        return Ok(Outcome::Idle(load::idle_report(report, &increment, &watch)));
    }

    let mut loader = load::Loader::new(source, lease, &increment);
    loader.quarantine(&extracted, clock).await?;
    if extracted.affects_dates() {
        let lake = Lake::open(&config.lake.lake).await?;
        loader.look_at(&lake, &mut extracted).await?;
        while let Some(window) = extracted.next_window(source, &increment, tuning).await? {
            loader.replace(&lake, window).await?;
        }
        // What the recomputation found to reject besides has to be in quarantine before the offset moves.
        loader.quarantine(&extracted, clock).await?;
    }
    Ok(Outcome::Committed(loader.commit(&extracted, &gaps, report, &watch).await?))
}
