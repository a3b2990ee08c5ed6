#![doc = include_str!("../README.md")]

mod config;
mod error;
mod extract;
mod load;
mod transform;

pub use config::{Config, ReadBack, Tuning};
pub use error::Error;

use common::batch::{Outcome, under_lease};
use common::increment::Increment;
use common::profiles::Profiles;
use common::run::{Clock, Exit, RunReport, Shutdown, Stopwatch, new_run_id, repeat};
use common::source::{Job, Lease, Source};

const JOB: Job = Job::Profiles;

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

/// One batch: extract → transform → load → commit.
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

    let extracted = extract::read(source, keys, &mut increment, tuning).await?;
    extracted.examined.gate(tuning.max_quarantine_ratio)?;
    let gaps = increment.gaps_left(tuning.gap_grace);
    let result = transform::profiles(extracted)?;

    if result.changes_nothing() && !increment.changed(&gaps) {
        return Ok(Outcome::Idle(load::idle_report(report, &increment, &watch)));
    }
    let loader = load::Loader { source, lease, increment: &increment, tuning };
    loader.quarantine(&result, clock).await?;
    if result.writes_profiles() {
        let profiles = Profiles::open(&config.profiles.profiles).await?;
        loader.write(&profiles, &result).await?;
    }
    Ok(Outcome::Committed(loader.commit(&result, &gaps, report, &watch).await?))
}
