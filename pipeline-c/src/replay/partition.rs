//! The malformed records of one partition.

use std::time::Duration;

use common::lake::{Lake, LakeError};
use common::run::{Clock, Shutdown};
use futures::TryStreamExt;

use super::left::{Fate, left_of, reason, record};
use super::{Replayed, Selection};
use crate::batch::Batch;
use crate::encode;
use crate::error::Error;
use crate::inventory::{Described, Files, Footers, Undescribed, describe};
use crate::judging::Judge;
use crate::load::{Loader, Move};
use crate::place::{Place, Stream};
use crate::rewrite;

/// Moved rows in memory, about; more become several files.
const BATCH_BYTES: u64 = 64 * 1024 * 1024;

/// Rows that one commit is about, at most, but for those of its last file.
const ROWS_A_COMMIT: usize = 4_000_000;

/// One partition, and how it is replayed.
pub struct Partition<'a> {
    /// Where its files are.
    pub lake: Lake,
    /// Which it is.
    pub place: Place,
    /// What is tried.
    pub selection: Selection,
    /// How long the lake may be away.
    pub patience: Duration,
    /// Tells the time of ingestion.
    pub clock: &'a Clock,
    /// Tells what can be read.
    pub judge: &'a Judge,
    /// Whether to stop.
    pub shutdown: &'a Shutdown,
}

/// Rows on their way, for one commit.
struct Shift {
    moved: Move,
    batch: Batch,
    generation: u32,
    changed: Vec<Changed>,
    counts: Replayed,
}

/// A file that changes, and what becomes of each of its rows.
struct Changed {
    file: Described,
    fates: Vec<Fate>,
}

impl Partition<'_> {
    /// Moves what can be read now. `done` counts what has happened, also where this fails or is stopped.
    pub async fn replay(&self, done: &mut Replayed) -> Result<(), Error> {
        let mut loader = Loader::visit(self.lake.clone(), self.place.clone(), self.patience).await?;
        let mut files = self.files().await?;
        files.sort_by_key(|file| (file.file.generation, file.file.first_offset));
        let mut files = files.into_iter().peekable();
        while let Some(first) = files.peek() {
            let mut shift = self.begin(&mut loader, first.file.generation).await?;
            while shift.has_room()
                && let Some(file) = files.next_if(|next| next.file.generation == shift.generation)
            {
                // Nothing was committed: what is staged is for the next owner to throw away.
                let Some(split) = self.shutdown.or(Box::pin(self.split(file, &mut shift, &loader))).await
                else {
                    return Ok(());
                };
                split?;
            }
            let Some(staged) = self.shutdown.or(Box::pin(self.stage(&mut shift, &loader))).await else {
                return Ok(());
            };
            staged?;
            if !shift.changed.is_empty() {
                shift.counts.in_both_ms = loader.commit_move(shift.moved, self.clock.now()).await?;
            }
            done.add(shift.counts);
        }
        Ok(())
    }

    async fn begin(&self, loader: &mut Loader, generation: u32) -> Result<Shift, Error> {
        let moved = loader.begin_move().await?;
        let batch = Batch::starting_at(self.place.partition, 0);
        Ok(Shift { moved, batch, generation, changed: Vec::new(), counts: Replayed::default() })
    }

    /// The selected files of malformed records.
    async fn files(&self) -> Result<Vec<Described>, Error> {
        let mut files = Files::list(&self.lake, &self.place.topic).await?;
        let mut owned = files.owned.remove(&self.place).unwrap_or_default();
        owned.retain(|(name, _)| name.stream == Stream::Malformed && self.selection.has(name.date));
        let (described, bad) = describe(&self.lake, &owned, &mut Footers::default()).await?;
        match bad.into_iter().next() {
            None => Ok(described),
            Some(Undescribed { path, reason }) => Err(LakeError::Damaged { path, reason }.into()),
        }
    }

    /// Tries the rows of a file. What can be read now goes to the batch, and to new files whenever that is full.
    async fn split(&self, file: Described, shift: &mut Shift, loader: &Loader) -> Result<(), Error> {
        let damaged = |error| LakeError::from_parquet(&file.meta.path, error);
        let mut batches = encode::read(self.lake.file(file.meta.clone())).await.map_err(damaged)?;
        let mut fates = Vec::with_capacity(usize::try_from(file.file.rows).unwrap_or_default());
        while let Some(rows) = batches.try_next().await.map_err(damaged)? {
            for row in 0..rows.num_rows() {
                let was = reason(&rows, row);
                if self.selection.reason.is_some_and(|wanted| wanted.code() != was) {
                    fates.push(Fate::Stays);
                    continue;
                }
                let record = record(&rows, row);
                let judged = self.judge.judge(&record).await?;
                fates.push(shift.counts.count(was, &judged));
                if judged.is_ok() {
                    shift.batch.push(&record, judged);
                }
                if shift.batch.bytes >= BATCH_BYTES {
                    self.move_in(shift, loader).await?;
                }
            }
        }
        if fates.iter().any(|fate| *fate != Fate::Stays) {
            shift.changed.push(Changed { file, fates });
        }
        Ok(())
    }

    async fn move_in(&self, shift: &mut Shift, loader: &Loader) -> Result<(), Error> {
        let batch = std::mem::replace(&mut shift.batch, Batch::starting_at(self.place.partition, 0));
        let outputs = batch.into_outputs(&self.place, self.clock.now());
        shift.counts.files += outputs.len() as u64;
        loader.move_in(&mut shift.moved, &outputs, shift.generation).await
    }

    /// Stages the rows that move, and what is left of the files that they come from.
    async fn stage(&self, shift: &mut Shift, loader: &Loader) -> Result<(), Error> {
        self.move_in(shift, loader).await?;
        for Changed { file: Described { file, meta }, fates } in &shift.changed {
            let left = fates.iter().filter(|fate| **fate != Fate::Moves).count() as u64;
            if left == 0 {
                shift.moved.remove(meta);
                continue;
            }
            let rewritten = loader.rewrite(&shift.moved, file, meta, async |to, label| {
                let mut of_rows = fates.as_slice();
                rewrite::remaining(loader.file(meta), file, label, to, async |rows| {
                    let (now, later) = of_rows.split_at(rows.num_rows());
                    of_rows = later;
                    left_of(&rows, now, self.judge).await
                })
                .await
            });
            let rewritten = rewritten.await?;
            if rewritten.file.rows != left {
                let reason = format!("{left} rows were to be left in it, {} are", rewritten.file.rows);
                return Err(LakeError::Damaged { path: file.path.clone(), reason }.into());
            }
            shift.moved.leave(rewritten);
        }
        Ok(())
    }
}

impl Shift {
    /// Whether another file may be part of the same commit.
    fn has_room(&self) -> bool {
        let rows: usize = self.changed.iter().map(|changed| changed.fates.len()).sum();
        self.counts.files == 0 && rows < ROWS_A_COMMIT
    }
}
