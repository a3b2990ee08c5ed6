//! Compares the files that stand in the lake with those that a recomputation from the source gives.

mod difference;
mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use chrono::NaiveDate;
use clap::Args;
use common::examine::read_catalog;
use common::lake::{Lake, LakeError, ObjectMeta, TXN_SUMMARY, date_of};
use common::run::{Exit, Shutdown};
use common::settings::{LakeArgs, MemoryArgs, OutputFormat, RecomputeArgs, RunArgs, SourceArgs};
use common::source::Job;
use common::telemetry::TelemetryArgs;
use common::verify::{Books, Compared, Findings, sample};
use futures::{StreamExt, TryStreamExt};

pub use difference::Difference;

use crate::config::{Config, SummaryArgs};
use crate::error::Error;
use crate::extract::{self, Extracted, judge};
use crate::load::path_of;
use crate::transform::Day;

/// Files that are read side by side.
const DATES_AT_ONCE: usize = 4;

/// Settings of `pipeline-b verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub source: SourceArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub lake: LakeArgs,
    /// Compare no date before this one, `YYYY-MM-DD` [default: all]
    #[arg(long, value_name = "DATE")]
    pub from: Option<NaiveDate>,
    /// Compare no date after this one, `YYYY-MM-DD` [default: all]
    #[arg(long, value_name = "DATE")]
    pub to: Option<NaiveDate>,
    /// Compare this many dates, chosen at random, and read only their rows [default: all]
    #[arg(long, value_name = "N")]
    pub sample: Option<NonZeroUsize>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub memory: MemoryArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub summary: SummaryArgs,
    /// Form of the differences on standard output
    #[arg(long, env = "RUN_OUTPUT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

impl VerifyArgs {
    fn is_whole(&self) -> bool {
        self.from.is_none() && self.to.is_none() && self.sample.is_none()
    }

    fn covers(&self, date: NaiveDate) -> bool {
        self.from.is_none_or(|from| from <= date) && self.to.is_none_or(|to| date <= to)
    }
}

/// Compares and prints; see [`common::verify::run`] for the exit codes.
pub async fn verify(args: &VerifyArgs, shutdown: &Shutdown) -> Exit {
    if args.from.zip(args.to).is_some_and(|(from, to)| from > to) {
        tracing::error!("--from is later than --to: there is nothing to compare");
        return Exit::Usage;
    }
    let settings = (&args.source, args.output);
    common::verify::run(Job::Summaries, settings, shutdown, async |books| compare(args, books).await).await
}

async fn compare(args: &VerifyArgs, books: &mut Books) -> Result<Compared<Difference>, Error> {
    let config = Config {
        source: args.source.clone(),
        lake: args.lake.clone(),
        increment: books.settings.clone(),
        recompute: RecomputeArgs::default(),
        dates: None,
        memory: args.memory.clone(),
        summary: args.summary.clone(),
        run: RunArgs::default(),
        telemetry: TelemetryArgs::default(),
    };
    let lake = Lake::open(&args.lake.lake).await?;
    let mut files = Files::list(&lake, args).await?;
    let mut extracted = if args.is_whole() {
        extract::read(&books.source, books.keys, &mut books.increment, &config).await?
    } else {
        let catalog = Arc::new(read_catalog(&books.source, books.keys).await?);
        Extracted::of(catalog)
    };
    extracted.add(dates(args, books, &files).await?);

    let (mut checked, mut differing) = (0, Vec::new());
    while let Some(window) = extracted.next_window(&books.source, &books.increment, &config).await? {
        checked += window.len() as u64;
        let days = window.into_iter().map(|(date, day)| (date, day, files.by_date.remove(&date)));
        let compared = days.map(|(date, day, file)| compare_date(&lake, date, day, file, &extracted));
        let compared = futures::stream::iter(compared).buffered(DATES_AT_ONCE);
        let unequal = compared.try_filter(|(_, found)| std::future::ready(!found.is_empty()));
        differing.extend(unequal.try_collect::<Vec<_>>().await?);
    }

    let mut later = BTreeSet::new();
    let note_later = |row: &_| {
        if judge(row, &extracted.catalog, &args.summary).is_empty() {
            later.extend(row.at.map(|at| at.date_naive()));
        }
    };
    books.later_rows(note_later).await?;
    let mut findings = files.findings;
    let (waiting, differing): (Vec<_>, Vec<_>) =
        differing.into_iter().partition(|(date, _)| later.contains(date));
    for (_, found) in differing {
        findings.append(found);
    }
    books.compare_quarantine(extracted.examined.entries(), |_| args.is_whole(), &mut findings);
    let (waiting, to_txn_id) = (waiting.len() as u64, books.increment.highest);
    Ok(Compared { what: "dates", checked, waiting, to_txn_id, findings })
}

/// The dates to compare besides those that were read already.
async fn dates(args: &VerifyArgs, books: &Books, files: &Files) -> Result<BTreeSet<NaiveDate>, Error> {
    let mut dates: BTreeSet<NaiveDate> = files.by_date.keys().copied().collect();
    if !args.is_whole() {
        dates.extend(books.source.dates(args.from, args.to).await?);
    }
    match args.sample {
        Some(count) => Ok(sample(dates, count.get()).into_iter().collect()),
        None => Ok(dates),
    }
}

async fn compare_date(
    lake: &Lake,
    date: NaiveDate,
    day: Day,
    file: Option<ObjectMeta>,
    extracted: &Extracted,
) -> Result<(NaiveDate, Findings<Difference>), Error> {
    match day.summaries() {
        Ok(expected) => Ok((date, file::compare(lake, date, file, &expected, &extracted.catalog).await?)),
        Err(reason) => {
            let mut findings = Findings::brief();
            let reason = format!("cannot be what it should: {reason}");
            findings.add(Difference::file("no_summary", &path_of(date), reason));
            Ok((date, findings))
        }
    }
}

/// What stands in the folder.
struct Files {
    by_date: BTreeMap<NaiveDate, ObjectMeta>,
    /// The files that no reader should find there.
    findings: Findings<Difference>,
}

impl Files {
    async fn list(lake: &Lake, args: &VerifyArgs) -> Result<Self, LakeError> {
        let (mut by_date, mut findings) = (BTreeMap::new(), Findings::default());
        for file in lake.list(TXN_SUMMARY).await? {
            match date_of(&file.path, "date") {
                Some(date) if !args.covers(date) => {}
                Some(date) if file.path == path_of(date) => drop(by_date.insert(date, file)),
                // Readers pass these by.
                _ if file.path.split('/').any(|part| part.starts_with(['_', '.'])) => {}
                _ => {
                    let reason = "should not be there: a date has one file, part-00000.parquet";
                    findings.add(Difference::file("file_extra", &file.path, reason));
                }
            }
        }
        Ok(Self { by_date, findings })
    }
}
