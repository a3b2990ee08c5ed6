//! The malformed records of one partition.

use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use common::lake::{Lake, LakeError};
use common::run::Clock;
use futures::TryStreamExt;
use parquet::arrow::ParquetRecordBatchStreamBuilder;

use super::{Replayed, Selection, no_longer};
use crate::batch::Batch;
use crate::error::Error;
use crate::inventory::{Described, Files, Footers, Undescribed, describe};
use crate::judging::Judge;
use crate::load::Loader;
use crate::place::{Place, Stream};
use crate::rewrite;
use crate::transform::Record;

/// Moved rows in memory, about; more are committed in several pieces.
const BATCH_BYTES: u64 = 64 * 1024 * 1024;

/// How often the files are listed again because one was replaced meanwhile.
const ATTEMPTS: u32 = 5;

/// One partition, and who replays it.
pub struct Partition<'a> {
    /// Where its files are.
    pub lake: Lake,
    /// Which it is.
    pub place: Place,
    /// What is tried.
    pub selection: Selection,
    /// Who claims it.
    pub owner: &'a str,
    /// How long the lake may be away.
    pub patience: Duration,
    /// Tells the time of ingestion.
    pub clock: &'a Clock,
    /// Tells what can be read.
    pub judge: &'a mut Judge,
}

/// A file some of whose rows move.
struct Emptied {
    file: Described,
    kept: Vec<bool>,
}

impl Partition<'_> {
    /// Tries everything and moves nothing. An instance may go on writing meanwhile.
    pub async fn survey(&mut self) -> Result<Replayed, Error> {
        'again: for _ in 0..ATTEMPTS {
            let mut found = Replayed::default();
            for file in self.files().await? {
                match self.split(&file, None, &mut found).await {
                    Ok(_) => {}
                    Err(Error::Lake(LakeError::Changed(_))) => continue 'again,
                    Err(error) => return Err(error),
                }
            }
            return Ok(found);
        }
        Err(no_longer(&self.place))
    }

    /// Claims the partition and moves what can be read now.
    pub async fn replay(&mut self) -> Result<Replayed, Error> {
        let (lake, place) = (self.lake.clone(), self.place.clone());
        let mut loader =
            Loader::claim_files(lake, place, self.owner, self.clock.now(), self.patience).await?;
        let mut done = Replayed::default();
        let mut files = self.files().await?;
        files.sort_by_key(|file| (file.file.generation, file.file.first_offset));
        for files in files.chunk_by(|a, b| a.file.generation == b.file.generation) {
            let mut batch = Batch::starting_at(self.place.partition, 0);
            let mut emptied = Vec::new();
            for file in files {
                let kept = self.split(file, Some(&mut batch), &mut done).await?;
                if kept.contains(&false) {
                    emptied.push(Emptied { file: file.clone(), kept });
                }
                if batch.bytes >= BATCH_BYTES {
                    let full = std::mem::replace(&mut batch, Batch::starting_at(self.place.partition, 0));
                    self.shift(&mut loader, full, std::mem::take(&mut emptied), &mut done).await?;
                }
            }
            self.shift(&mut loader, batch, emptied, &mut done).await?;
        }
        Ok(done)
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

    /// Tries the rows of a file, adds what can be read to `batch`, and tells which rows stay.
    async fn split(
        &mut self,
        file: &Described,
        mut batch: Option<&mut Batch>,
        done: &mut Replayed,
    ) -> Result<Vec<bool>, Error> {
        let damaged = |error| LakeError::from_parquet(&file.meta.path, error);
        let reader = self.lake.file(file.meta.clone());
        let builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(damaged)?;
        let mut batches = builder.build().map_err(damaged)?;
        let mut kept = Vec::with_capacity(usize::try_from(file.file.rows).unwrap_or_default());
        while let Some(rows) = batches.try_next().await.map_err(damaged)? {
            for row in 0..rows.num_rows() {
                kept.push(self.stays(&rows, row, batch.as_deref_mut(), done).await?);
            }
        }
        Ok(kept)
    }

    async fn stays(
        &mut self,
        rows: &RecordBatch,
        row: usize,
        batch: Option<&mut Batch>,
        done: &mut Replayed,
    ) -> Result<bool, Error> {
        let reason = rows.column(6).as_string::<i32>().value(row);
        if self.selection.reason.is_some_and(|wanted| wanted.code() != reason) {
            return Ok(true);
        }
        let keys = rows.column(4).as_binary::<i32>();
        let record = Record {
            offset: rows.column(2).as_primitive::<Int64Type>().value(row),
            timestamp_ms: rows
                .column(3)
                .as_primitive::<TimestampMicrosecondType>()
                .value(row)
                .div_euclid(1_000),
            key: keys.is_valid(row).then(|| keys.value(row)),
            value: Some(rows.column(5).as_binary::<i32>().value(row)),
        };
        done.read += 1;
        match self.judge.judge(&record).await? {
            Ok(event) => {
                done.moved += 1;
                if let Some(batch) = batch {
                    batch.push(&record, Ok(event));
                }
                Ok(false)
            }
            Err(malformed) => {
                *done.still_malformed.entry(malformed.reason.code().to_owned()).or_default() += 1;
                Ok(true)
            }
        }
    }

    /// Moves rows into `events`, and takes them out of the files they come from.
    async fn shift(
        &self,
        loader: &mut Loader,
        batch: Batch,
        emptied: Vec<Emptied>,
        done: &mut Replayed,
    ) -> Result<(), Error> {
        let Some(generation) = emptied.first().map(|emptied| emptied.file.file.generation) else {
            return Ok(());
        };
        let at = self.clock.now();
        let mut moved = loader.begin_move().await?;
        let outputs = batch.into_outputs(&self.place, at);
        done.files += outputs.len() as u64;
        loader.move_in(&mut moved, &outputs, generation).await?;
        for Emptied { file: Described { file, meta }, kept } in &emptied {
            if kept.contains(&true) {
                let rewritten = loader.rewrite(&moved, file, meta, async |to, label| {
                    rewrite::remaining(loader.file(meta), file, kept, label, to).await
                });
                let left = rewritten.await?;
                moved.leave(left);
            } else {
                moved.remove(meta);
            }
        }
        done.in_both_ms = done.in_both_ms.max(loader.commit_move(moved, at).await?);
        Ok(())
    }
}
