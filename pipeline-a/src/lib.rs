#![doc = include_str!("../README.md")]

mod asked;
mod command;
mod config;
mod error;
mod extract;
mod load;
mod slice;
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
use common::source::{Job, Source, SourceKeys};
use extract::Extracted;

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

/// One batch: extract → transform → load → commit, the middle steps slice by slice of customers.
async fn step(config: &Config, batch: Batch<'_>) -> Result<Outcome, Error> {
    let Prepared { keys, increment, gaps, mut extracted } = prepare(config, batch.source).await?;
    if extracted.changes_nothing(&increment) && !increment.changed(&gaps) {
        return Ok(Outcome::Idle(increment.idle(batch.report, extracted.rows)));
    }

    let mut loader = load::Loader::new(&batch, &increment, &config.write);
    if !extracted.affects_nobody() {
        let profiles = Profiles::open(&config.profiles.profiles).await?;
        loader.look_at(&profiles).await?;
        while let Some(slice) = extracted.next_slice(batch.source, keys, &increment, config).await? {
            let gate = extracted.examined.gate(config.increment.max_quarantine_ratio);
            gate.map_err(|refused| loader.refused(refused))?;
            loader.write(&profiles, transform::profiles(slice, &extracted.catalog)?).await?;
        }
        extracted.examined.all_met().map_err(BatchError::from)?;
    }
    loader.quarantine(&extracted).await?;
    failpoint("quarantined");
    Ok(Outcome::Committed(loader.commit(&extracted, &gaps).await?))
}

/// What a batch starts from.
struct Prepared {
    keys: SourceKeys,
    increment: Increment,
    gaps: Gaps,
    extracted: Extracted,
}

/// Reads and checks what is new; writes nothing.
async fn prepare(config: &Config, source: &Source) -> Result<Prepared, Error> {
    let keys = source.check_schema().await?;
    let mut increment = Increment::find(source, Job::Profiles, &config.increment, &config.recompute).await?;
    failpoint("found");
    let asked = asked::customers(config, source, &increment).await?;
    let nothing =
        increment.is_empty(keys) && asked.is_empty() && source.transactions_without_key().await? == 0;
    let extracted = if nothing {
        Extracted::default()
    } else {
        extract::read(source, keys, &mut increment, asked, config).await?
    };
    failpoint("examined");
    let gaps = increment.gaps_left(config.increment.gap_grace);
    Ok(Prepared { keys, increment, gaps, extracted })
}

/// What a batch would recompute.
async fn rehearse(config: &Config, source: &Source, report: RunReport) -> Result<Rehearsal, Error> {
    let Prepared { keys, increment, mut extracted, .. } = prepare(config, source).await?;
    let standing = if increment.everything {
        Profiles::open(&config.profiles.profiles).await?.ids().await?
    } else {
        Vec::new()
    };
    let mut customers = Vec::new();
    while let Some(slice) = extracted.next_slice(source, keys, &increment, config).await? {
        let result = transform::profiles(slice, &extracted.catalog)?;
        customers.extend(result.profiles.iter().map(|profile| profile.customer_id));
        customers.extend(result.gone(&standing));
    }
    extracted.examined.gate(config.increment.max_quarantine_ratio).map_err(BatchError::from)?;
    customers.sort_unstable();
    Ok(Rehearsal {
        report: increment.idle(report, extracted.rows).with("customers", customers.len()),
        field: "customer_ids",
        keys: customers.iter().map(|id| id.0.into()).collect(),
    })
}
