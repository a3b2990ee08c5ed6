//! Merges the files of past dates: one a partition and date.
//!
//! Nothing needs it: a date has a few large files, unless `--tail append` or many restarts made small ones.

mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::NaiveDate;
use clap::Args;
use common::lake::{Lake, LakeError, ObjectMeta};
use common::run::{Clock, Shutdown};
use common::settings::duration;

use crate::commands::{FilesArgs, OutputArgs, each_partition};
use crate::error::Error;
use crate::inventory::{Described, Files, Footers, Undescribed, describe};
use crate::load::{Loader, Move};
use crate::place::{FileName, Place, Stream};
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

/// Merges. An instance may go on meanwhile.
pub async fn run(args: &CompactArgs, clock: &Clock, shutdown: &Shutdown) -> Result<Compacted, Error> {
    let lake = args.files.open().await?;
    let (topic, today) = (&args.files.topic, clock.now().date_naive());
    let (patience, only) = (args.outage_limit, args.date);
    let before = args.before.unwrap_or(today);
    let mut compacted = Compacted::of(topic);
    compacted.failed = each_partition((&lake, topic), shutdown, async |place| {
        let (lake, place) = (lake.clone(), place.clone());
        let partition = Partition { lake, place, only, before, patience, clock, shutdown };
        partition.merge_all(&mut compacted).await
    })
    .await?;
    compacted.interrupted = shutdown.requested();
    Ok(compacted)
}

/// One partition, and how its files are merged.
struct Partition<'a> {
    lake: Lake,
    place: Place,
    only: Option<NaiveDate>,
    before: NaiveDate,
    patience: Duration,
    clock: &'a Clock,
    shutdown: &'a Shutdown,
}

type Listed = (FileName, ObjectMeta);

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

impl Partition<'_> {
    fn wants(&self, date: NaiveDate) -> bool {
        self.only.map_or(date < self.before, |only| date == only)
    }

    /// Merges each date's files into one. `compacted` counts what has happened, also where this fails.
    async fn merge_all(&self, compacted: &mut Compacted) -> Result<(), Error> {
        loop {
            let mut loader = Loader::visit(self.lake.clone(), self.place.clone(), self.patience).await?;
            let listed = Files::list(&self.lake, &self.place.topic).await?;
            let groups = groups(&listed, &self.place, |date| self.wants(date));
            // What an instance adds meanwhile is for the next time.
            let again = groups.values().any(|files| files.len() > FILES_AT_ONCE);
            for files in groups.into_values() {
                for some in files.chunks(FILES_AT_ONCE).filter(|some| some.len() > 1) {
                    // What is staged and not committed is for the next owner to throw away.
                    let Some(staged) = self.shutdown.or(Box::pin(self.stage(&mut loader, some))).await else {
                        return Ok(());
                    };
                    let in_both_ms = loader.commit_move(staged?, self.clock.now()).await?;
                    compacted.in_both_ms = compacted.in_both_ms.max(in_both_ms);
                    compacted.merged += some.len() as u64;
                    compacted.written += 1;
                }
            }
            if !again {
                return Ok(());
            }
        }
    }

    /// Stages the first file's replacement by all of them; the others are to be removed.
    async fn stage(&self, loader: &mut Loader, files: &[Listed]) -> Result<Move, Error> {
        let (mut described, bad) = describe(&self.lake, files, &mut Footers::default()).await?;
        if let Some(Undescribed { path, reason }) = bad.into_iter().next() {
            return Err(LakeError::Damaged { path, reason }.into());
        }
        described.sort_by_key(|file| file.file.first_offset);
        let moved = loader.begin_move().await?;
        staged(loader, moved, &described).await
    }
}

async fn staged(loader: &Loader, mut moved: Move, files: &[Described]) -> Result<Move, Error> {
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
