//! The quarantine for people: what is in it, why, since when, and what a run takes out.

mod retried;
mod shown;

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::batch::BatchError;
use crate::quality::{Entity, Reason, Reasons};
use crate::run::{Exit, Shutdown};
use crate::settings::{OutputFormat, SourceArgs};
use crate::source::{Job, ListedKey, Source};
use retried::Retried;

/// `quarantine …`.
#[derive(Debug, Clone, Subcommand)]
pub enum QuarantineCommand<R: Args> {
    /// List the keys in quarantine: why, since when, the offending values, and how many for each reason
    List(ListArgs),
    /// Show all that is known of one key
    Show(ShowArgs),
    /// Run the job once, which judges everything in quarantine again, and say what left and what stayed and why
    Retry(R),
}

/// Settings of `quarantine list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub source: SourceArgs,
    /// Only keys with this reason, e.g. `unknown_customer`; a key may have others besides
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub reason: Option<Reason>,
    /// Keys to list at most; the totals count all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    /// Form of the list on standard output
    #[arg(long, env = "RUN_OUTPUT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// Settings of `quarantine show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub source: SourceArgs,
    /// The key of the row; `null` for the rows without one
    #[arg(value_name = "ID", value_parser = key, allow_negative_numbers = true)]
    pub id: Key,
    /// What it is a key of [default: both]
    #[arg(long, value_name = "ENTITY", value_parser = entity)]
    pub entity: Option<Entity>,
    /// Form of the answer on standard output
    #[arg(long, env = "RUN_OUTPUT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// The key of a row, as `etl_quarantine` keeps it; `None` for null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(Option<i64>);

fn reason(text: &str) -> Result<Reason, String> {
    Reason::from_code(text).ok_or_else(|| format!("the reasons are {}", Reason::codes().join(", ")))
}

fn entity(text: &str) -> Result<Entity, String> {
    Entity::from_name(text).ok_or_else(|| "must be customer or transaction".to_owned())
}

fn key(text: &str) -> Result<Key, String> {
    if text == "null" {
        return Ok(Key(None));
    }
    let signed = text.parse().ok();
    let id = signed.or_else(|| text.parse().ok().map(u64::cast_signed));
    id.map(|id| Key(Some(id))).ok_or_else(|| "must be a whole number or null".to_owned())
}

/// Lists what is in quarantine.
pub async fn list(job: Job, args: &ListArgs, shutdown: &Shutdown) -> Exit {
    let list = async {
        let Some(source) = open(&args.source).await? else { return Ok((Vec::new(), Totals::default())) };
        let totals = Totals::of(source.count_quarantine(job).await?);
        Ok((source.list_quarantine(job, args.reason, args.limit).await?, totals))
    };
    conclude(shutdown.or(list).await, |(keys, totals)| {
        let shown = match args.reason {
            Some(reason) => totals.by_reason.get(reason.code()).copied().unwrap_or_default(),
            None => totals.keys,
        };
        let text = match args.output {
            OutputFormat::Json => json(&List { pipeline: job.name(), totals, keys }),
            _ => shown::list(job.name(), keys, shown, totals),
        };
        (text, Exit::Done)
    })
}

/// Shows what the quarantine says of one key.
pub async fn show(job: Job, args: &ShowArgs, shutdown: &Shutdown) -> Exit {
    let find = async {
        let Some(source) = open(&args.source).await? else { return Ok(Vec::new()) };
        Ok(source.find_in_quarantine(job, args.entity, args.id.0).await?)
    };
    conclude(shutdown.or(find).await, |keys| {
        let text = match args.output {
            OutputFormat::Json => json(&Shown { pipeline: job.name(), keys }),
            _ if keys.is_empty() => format!("{}: not in quarantine", job.name()),
            _ => keys.iter().map(shown::key).collect::<Vec<_>>().join("\n"),
        };
        (text, if keys.is_empty() { Exit::Failed } else { Exit::Done })
    })
}

/// Runs the job once by `run`, which judges all that is in quarantine again, and tells what became of it.
pub async fn retry(
    job: Job,
    (source, output): (&SourceArgs, OutputFormat),
    shutdown: &Shutdown,
    run: impl AsyncFnOnce() -> Exit,
) -> Exit {
    let standing = async || {
        let Some(source) = open(source).await? else { return Ok(HashMap::new()) };
        Ok(source.quarantined(job).await?)
    };
    let before = match shutdown.or(standing()).await {
        Some(Ok(before)) => before,
        ended => return conclude(ended, |_| (String::new(), Exit::Failed)),
    };
    match Box::pin(run()).await {
        Exit::Done => {}
        exit => return exit,
    }
    conclude(shutdown.or(standing()).await, |after| {
        let retried = Retried::new(job, &before, after);
        let text = if output == OutputFormat::Json { json(&retried) } else { shown::retried(&retried) };
        (text, Exit::Done)
    })
}

/// `None` where no pipeline has run yet.
async fn open(source: &SourceArgs) -> Result<Option<Source>, BatchError> {
    let source = Source::open(&source.source).await?;
    Ok(if source.has_own_tables().await? { Some(source) } else { None })
}

fn conclude<T>(result: Option<Result<T, BatchError>>, done: impl FnOnce(&T) -> (String, Exit)) -> Exit {
    match result.unwrap_or(Err(BatchError::Interrupted)) {
        Ok(found) => {
            let (text, exit) = done(&found);
            // Whoever reads may have gone.
            let _ = writeln!(std::io::stdout(), "{text}");
            exit
        }
        Err(error) => {
            tracing::error!("{error}");
            error.exit()
        }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it has only string keys")
}

/// How much is in quarantine.
#[derive(Debug, Default, Serialize)]
struct Totals {
    #[serde(rename = "quarantined")]
    keys: u64,
    by_reason: BTreeMap<&'static str, u64>,
}

impl Totals {
    fn of(counts: Vec<(Reasons, u64)>) -> Self {
        let mut totals = Self::default();
        for (reasons, count) in counts {
            totals.keys += count;
            for reason in reasons.iter() {
                *totals.by_reason.entry(reason.code()).or_default() += count;
            }
        }
        totals
    }
}

/// What `list --output json` prints.
#[derive(Serialize)]
struct List<'a> {
    pipeline: &'a str,
    #[serde(flatten)]
    totals: &'a Totals,
    keys: &'a [ListedKey],
}

/// What `show --output json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    pipeline: &'a str,
    keys: &'a [ListedKey],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_any_id_of_a_source_or_null() {
        for (text, expected) in
            [("5", Some(5)), ("-5", Some(-5)), ("null", None), ("18446744073709551615", Some(-1))]
        {
            assert_eq!(key(text), Ok(Key(expected)), "{text}");
        }
        for bad in ["", "x", "1.5", "18446744073709551616"] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }
}
