//! Merges the files of past dates: one a partition and date.
//!
//! Nothing needs it: a date has a few large files, unless `--tail append` or many restarts made small ones.

mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::NaiveDate;
use clap::Args;
use common::lake::{Lake, LakeError};
use common::run::{Clock, new_run_id};
use common::settings::duration;

use crate::commands::{FilesArgs, OutputArgs};
use crate::error::Error;
use crate::inventory::{Described, Files, Footers, Undescribed, describe, states};
use crate::load::Loader;
use crate::place::{Place, Stream};
use crate::rewrite;
use crate::state::DataFile;
pub use report::Compacted;

/// Files that are merged at once. More are merged in several steps, so that memory holds a row group of each.
const FILES_AT_ONCE: usize = 32;

/// Settings of `compact`.
#[derive(Debug, Clone, Args)]
pub struct CompactArgs {
    #[command(flatten)]
    files: FilesArgs,
    /// Only the folders of this date (UTC)
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "before")]
    date: Option<NaiveDate>,
    /// Only the folders of dates before this one [default: today, UTC]
    #[arg(long, value_name = "YYYY-MM-DD")]
    before: Option<NaiveDate>,
    /// How long an outage of the lake is waited out
    #[arg(long, env = "OUTAGE_LIMIT", value_name = "DURATION", default_value = "10m", value_parser = duration)]
    outage_limit: Duration,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Files that belong into one: those of an output, a date and one topic of this name.
type Group = (Stream, NaiveDate, u32);

/// Merges. Only partitions that have something to merge are claimed.
pub async fn run(args: &CompactArgs, clock: &Clock) -> Result<Compacted, Error> {
    let lake = args.files.open().await?;
    let topic = &args.files.topic;
    let owner = format!("compact {}", new_run_id());
    let today = clock.now().date_naive();
    let wanted = |date: NaiveDate| match args.date {
        Some(only) => date == only,
        None => date < args.before.unwrap_or(today),
    };
    let mut compacted = Compacted::of(topic);
    let listed = Files::list(&lake, topic).await?;
    for place in states(&lake, topic).await?.into_keys() {
        if groups(&listed, &place, wanted).is_empty() {
            continue;
        }
        let (lake, at) = (lake.clone(), clock.now());
        let mut loader =
            Loader::claim_files(lake.clone(), place.clone(), &owner, at, args.outage_limit).await?;
        loop {
            // What was listed before the claim may be another content by now.
            let listed = Files::list(&lake, topic).await?;
            let groups = groups(&listed, &place, wanted);
            if groups.is_empty() {
                break;
            }
            for files in groups.into_values() {
                for some in files.chunks(FILES_AT_ONCE).filter(|some| some.len() > 1) {
                    compacted.in_both_ms =
                        compacted.in_both_ms.max(merge(&lake, &mut loader, some, clock).await?);
                    compacted.merged += some.len() as u64;
                    compacted.written += 1;
                }
            }
        }
    }
    Ok(compacted)
}

type Listed = (crate::place::FileName, common::lake::ObjectMeta);

/// The partition's files that belong together, where there are several, by first offset.
fn groups(files: &Files, place: &Place, wanted: impl Fn(NaiveDate) -> bool) -> BTreeMap<Group, Vec<Listed>> {
    let mut groups: BTreeMap<Group, Vec<Listed>> = BTreeMap::new();
    for (name, meta) in files.owned.get(place).into_iter().flatten().filter(|(name, _)| wanted(name.date)) {
        let group = (name.stream, name.date, name.generation);
        groups.entry(group).or_default().push((name.clone(), meta.clone()));
    }
    groups.retain(|_, files| files.len() > 1);
    for files in groups.values_mut() {
        files.sort_by_key(|(name, _)| name.first_offset);
    }
    groups
}

/// Replaces the first file by all of them, then removes the others; returns how long readers could see both.
async fn merge(lake: &Lake, loader: &mut Loader, files: &[Listed], clock: &Clock) -> Result<u64, Error> {
    let (mut described, bad) = describe(lake, files, &mut Footers::default()).await?;
    if let Some(Undescribed { path, reason }) = bad.into_iter().next() {
        return Err(LakeError::Damaged { path, reason }.into());
    }
    described.sort_by_key(|file| file.file.first_offset);
    let moved = loader.begin_move().await?;
    let moved = staged(loader, moved, &described).await?;
    loader.commit_move(moved, clock.now()).await
}

async fn staged(
    loader: &Loader,
    mut moved: crate::load::Move,
    files: &[Described],
) -> Result<crate::load::Move, Error> {
    let [first, others @ ..] = files else { return Ok(moved) };
    let last_offset = files.iter().map(|file| file.file.last_offset).max().unwrap_or(first.file.last_offset);
    let rows: u64 = files.iter().map(|file| file.file.rows).sum();
    let whole = DataFile { last_offset, ..first.file.clone() };
    let written = loader.rewrite(&moved, &whole, &first.meta, async |to, label| {
        let inputs = files.iter().map(|file| loader.file(&file.meta)).collect();
        rewrite::merged(inputs, &whole, label, to).await
    });
    let file = written.await?;
    if file.file.rows != rows {
        let reason = format!("{rows} rows were to be merged into it, {} are", file.file.rows);
        return Err(LakeError::Damaged { path: file.file.path, reason }.into());
    }
    moved.add(file);
    for other in others {
        moved.remove(&other.meta);
    }
    Ok(moved)
}
