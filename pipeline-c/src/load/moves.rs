//! Rows that change files: stage where they go, commit, publish, then take them away from where they were.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::lake::{Expect, Lake, LakeError, LakeFile, ObjectMeta, StageWriter, Staged};
use common::run::{Stopwatch, failpoint, new_run_id};
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};

use super::{FILES_AT_ONCE, Loader, unfinished_uploads, wait_or};
use crate::batch::Output;
use crate::config::{GateArgs, TailMode};
use crate::encode::{self, Label};
use crate::error::Error;
use crate::ledger::{Claim, LogRange, backoff};
use crate::place::Place;
use crate::state::{DataFile, Pending, Removal, State, TailRule};

/// A change of files that leaves the partition's rows, taken together, the same.
///
/// Readers see the new files before the rows leave the old ones: never is a row in neither.
#[derive(Debug)]
#[must_use = "what is staged is thrown away unless it is committed"]
pub struct Move {
    commit: String,
    /// The state that it follows, with all that was pending visible.
    after: State,
    added: Vec<Pending>,
    left: Vec<Pending>,
    removed: Vec<Removal>,
}

/// A file that is written whole.
#[derive(Debug)]
pub struct Rewritten {
    /// What was staged.
    pub staged: Staged,
    /// Rows in it.
    pub rows: u64,
}

impl Loader {
    /// Takes a partition over for a change of its files: nothing is read from Kafka, so whether its log fits is not
    /// asked. Tails stay open, whatever their size.
    pub async fn claim_files(
        lake: Lake,
        place: Place,
        owner: &str,
        at: DateTime<Utc>,
        patience: Duration,
    ) -> Result<Self, Error> {
        let uploads = unfinished_uploads(&lake, patience).await?;
        let claim = Claim { owner, at, gates: &GateArgs::default(), patience };
        let rule = TailRule { mode: TailMode::Rewrite, target_bytes: u64::MAX };
        Self::claim(lake, place, LogRange { start: 0, end: i64::MAX }, claim, rule, &uploads).await
    }

    /// Begins a move; all that was committed before is visible then.
    pub async fn begin_move(&mut self) -> Result<Move, Error> {
        self.publish().await?;
        let mut after = self.ledger.state().clone();
        after.settle(self.rule);
        let commit = new_run_id();
        Ok(Move { commit, after, added: Vec::new(), left: Vec::new(), removed: Vec::new() })
    }

    /// Stages rows that move in, as files of their own. `generation`: how often the topic had been made anew when
    /// their records were read.
    pub async fn move_in(&self, to: &mut Move, outputs: &[Output], generation: u32) -> Result<(), Error> {
        let commit = &to.commit;
        let flush = to.after.flush + 1;
        let added: Vec<_> = stream::iter(outputs)
            .map(async |output| {
                let path = self.place.file_path(output.stream, output.date, output.first_offset, generation);
                let (first_offset, last_offset) = (output.first_offset, output.last_offset);
                let label = Label { place: &self.place, first_offset, last_offset, commit };
                let written = self.written(&path, commit, async |to| {
                    let (staged, rows) = encode::write(None, output, label, to, &path).await?;
                    Ok(Rewritten { staged, rows })
                });
                let Rewritten { staged, rows } = written.await?;
                let (stream, date, bytes, path) = (output.stream, output.date, staged.size, path.clone());
                let file = DataFile {
                    path,
                    stream,
                    date,
                    first_offset,
                    last_offset,
                    rows,
                    bytes,
                    flush,
                    generation,
                };
                Ok::<_, Error>(Pending {
                    file,
                    staged,
                    expect: Expect::Absent,
                    closed: true,
                    published: None,
                })
            })
            .buffer_unordered(FILES_AT_ONCE)
            .try_collect()
            .await?;
        to.added.extend(added);
        Ok(())
    }

    async fn written(
        &self,
        path: &str,
        commit: &str,
        write: impl AsyncFn(StageWriter) -> Result<Rewritten, LakeError>,
    ) -> Result<Rewritten, Error> {
        let mut backoff = backoff(self.patience);
        loop {
            match self.stage_or_clean_up(path, commit, &write).await {
                Ok(written) => return Ok(written),
                // A new owner throws the uploads of the old one away, and replaces files.
                Err(error @ (LakeError::Refused { .. } | LakeError::Changed(_))) => {
                    self.ledger.check_owner().await?;
                    return Err(error.into());
                }
                Err(error) => wait_or(error, &mut backoff).await?,
            }
        }
    }

    /// Stages another content for `old`, which `write` writes, and returns what is to be published.
    pub async fn rewrite(
        &self,
        of: &Move,
        old: &DataFile,
        meta: &ObjectMeta,
        write: impl AsyncFn(StageWriter, Label<'_>) -> Result<Rewritten, LakeError>,
    ) -> Result<Pending, Error> {
        let (first_offset, last_offset) = (old.first_offset, old.last_offset);
        let label = Label { place: &self.place, first_offset, last_offset, commit: &of.commit };
        let written = self.written(&old.path, &of.commit, async |to| write(to, label).await);
        let Rewritten { staged, rows } = written.await?;
        let file = DataFile { rows, bytes: staged.size, flush: of.after.flush + 1, ..old.clone() };
        let expect = Expect::Version(meta.version.clone());
        Ok(Pending { file, staged, expect, closed: true, published: None })
    }

    /// Commits the move and makes it visible; returns how long readers could see rows in both places, in
    /// milliseconds. [`Error::Fenced`]: nothing of it happened.
    pub async fn commit_move(&mut self, moved: Move, at: DateTime<Utc>) -> Result<u64, Error> {
        let Move { commit, after, added, left, removed } = moved;
        let next = State {
            commit,
            flush: after.flush + 1,
            pending: added.clone(),
            pending_then: left.clone(),
            removals: removed,
            ..after
        };
        failpoint("move-staged");
        if let Err(error) = self.ledger.commit(next, at).await {
            if matches!(error, Error::Fenced { .. }) {
                self.throw_away(added.iter().chain(&left)).await;
            }
            return Err(error);
        }
        failpoint("move-committed");
        let in_both = Stopwatch::start();
        self.publish().await?;
        let in_both_ms = in_both.elapsed_ms();
        failpoint("move-published");
        self.settle(at).await?;
        Ok(in_both_ms)
    }

    /// Takes rows away from where they were, once they are visible where they are.
    pub(super) async fn take_away(&mut self) -> Result<(), Error> {
        let state = self.ledger.state();
        if state.pending_then.is_empty() && state.removals.is_empty() {
            return Ok(());
        }
        failpoint("move-added");
        self.publish_all(|state| &mut state.pending_then).await?;
        failpoint("move-left");
        for index in 0..self.ledger.state().removals.len() {
            let Removal { path, object, removed } = &self.ledger.state().removals[index];
            if *removed {
                continue;
            }
            let mut backoff = backoff(self.patience);
            loop {
                match self.lake.delete(path, object).await {
                    Ok(()) => break,
                    Err(LakeError::Conflict(path)) => {
                        self.ledger.check_owner().await?;
                        return Err(Error::Foreign { place: self.place.clone(), path });
                    }
                    Err(error) => wait_or(error, &mut backoff).await?,
                }
            }
            self.ledger.state_mut().removals[index].removed = true;
        }
        Ok(())
    }

    /// A file of the lake, to be read.
    #[must_use]
    pub fn file(&self, meta: &ObjectMeta) -> LakeFile {
        self.lake.file(meta.clone())
    }
}

impl Move {
    /// Adds a file that is visible before any row leaves its old place.
    pub fn add(&mut self, file: Pending) {
        self.added.push(file);
    }

    /// Adds what is left of a file whose other rows move.
    pub fn leave(&mut self, file: Pending) {
        self.left.push(file);
    }

    /// Adds a file all of whose rows move.
    pub fn remove(&mut self, meta: &ObjectMeta) {
        let (path, object) = (meta.path.clone(), meta.version.clone());
        self.removed.push(Removal { path, object, removed: false });
    }
}
