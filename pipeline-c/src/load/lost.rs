//! Files that were committed and are gone before readers could see them: undo their commit, or go on without them.

use chrono::{DateTime, Utc};
use common::lake::{Expect, Upload, Version};
use common::run::new_run_id;

use super::Loader;
use crate::error::Error;
use crate::ledger::{LogRange, patiently};
use crate::standing::Standing;
use crate::state::{LostFile, Pending, Removal, State};

/// What has become of a file that was to become visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Visible,
    Staged,
    Gone,
}

impl Loader {
    /// Why a file cannot be published: something else stands there, or it is gone.
    pub(super) async fn not_published(&self, pending: &Pending) -> Result<Error, Error> {
        let (place, file) = (self.place.clone(), &pending.file);
        Ok(match self.standing(&file.path).await? {
            Some(now) if pending.expect != Expect::Version(now.clone()) => {
                Error::Foreign { place, path: file.path.clone() }
            }
            _ => Error::lost(place, file),
        })
    }

    /// Goes on where pending files are gone. A batch of which nothing is visible is undone, so its records are read
    /// again; a move is undone as long as no row has left its old place. Otherwise what is gone is recorded.
    ///
    /// Uploads are listed again: the owner before may have begun and committed some after the list that claims start
    /// from.
    pub(super) async fn recover(&mut self, log: LogRange, at: DateTime<Utc>) -> Result<(), Error> {
        if self.ledger.state().all_pending().next().is_none() {
            return Ok(());
        }
        let standing = Standing::list(&self.lake, &self.place.topic, self.patience).await?;
        let fates = self.fates(&standing.uploads).await?;
        if !fates.contains(&Fate::Gone) {
            return Ok(());
        }
        let state = self.ledger.state().clone();
        let readable = state.before.as_ref().is_some_and(|before| before.next_offset >= log.start);
        let next = if state.is_move() {
            self.move_undone(&fates).await?
        } else if readable && !fates.contains(&Fate::Visible) {
            let fates = self.without_uploads(&fates).await?;
            if fates.contains(&Fate::Visible) { given_up(state, &fates, at) } else { batch_undone(state) }
        } else {
            given_up(state, &fates, at)
        };
        self.ledger.commit(State { commit: new_run_id(), ..next }, at).await
    }

    /// Throws away what is staged, and tells what has become of the files then: somebody who slept may have published
    /// one of them just before.
    async fn without_uploads(&mut self, fates: &[Fate]) -> Result<Vec<Fate>, Error> {
        let hidden = self.ledger.state().all_pending().zip(fates).filter(|(_, fate)| **fate != Fate::Visible);
        for (pending, _) in hidden {
            patiently(self.patience, async || self.lake.abort(&pending.staged).await).await?;
        }
        self.fates(&[]).await
    }

    /// What has become of each pending file, in their order. A file whose tail was removed holds its rows, too, so
    /// it is published all the same.
    async fn fates(&mut self, uploads: &[Upload]) -> Result<Vec<Fate>, Error> {
        let mut state = self.ledger.state().clone();
        let mut fates = Vec::new();
        for pending in state.pending.iter_mut().chain(&mut state.pending_then) {
            let staged = uploads.iter().any(|upload| upload.id == pending.staged.upload);
            fates.push(match self.standing(&pending.file.path).await? {
                Some(now) if pending.expect != Expect::Version(now.clone()) => Fate::Visible,
                standing if staged => {
                    if standing.is_none() {
                        pending.expect = Expect::Absent;
                    }
                    Fate::Staged
                }
                _ => Fate::Gone,
            });
        }
        *self.ledger.state_mut() = state;
        Ok(fates)
    }

    /// The rows are where they were, and nowhere else once the new files that are visible are removed again.
    async fn move_undone(&mut self, fates: &[Fate]) -> Result<State, Error> {
        self.can_be_undone(fates).await?;
        let fates = self.without_uploads(fates).await?;
        self.can_be_undone(&fates).await?;
        let mut state = self.ledger.state().clone();
        let mut removals = Vec::new();
        for (pending, fate) in state.pending.iter().zip(fates) {
            let path = pending.file.path.clone();
            if fate == Fate::Visible {
                let object = self.standing(&path).await?.ok_or_else(|| self.half_moved(&path))?;
                removals.push(Removal { path, object, removed: false });
            }
        }
        tracing::warn!(place = %self.place, "undoing a replay or compaction whose files are gone");
        (state.pending, state.pending_then, state.removals) = (Vec::new(), Vec::new(), removals);
        Ok(state)
    }

    /// [`Error::HalfMoved`] where rows have left their old place, or a command that sleeps may take them away yet: it
    /// does not as long as one of the new files is not visible.
    async fn can_be_undone(&self, fates: &[Fate]) -> Result<(), Error> {
        let state = self.ledger.state();
        let (added, left) = fates.split_at(state.pending.len());
        let visible = |fate: &Fate| *fate == Fate::Visible;
        let mut left = state.pending_then.iter().zip(left);
        if let Some((pending, _)) = left.find(|(_, fate)| visible(fate)) {
            return Err(self.half_moved(&pending.file.path));
        }
        let mut replaced = state.pending.iter().zip(added).filter(|(_, fate)| visible(fate));
        let replaced = replaced.find(|(pending, _)| pending.expect != Expect::Absent);
        let all = state.pending.iter().zip(added).next().filter(|_| added.iter().all(visible));
        if let Some((pending, _)) = replaced.or(all) {
            return Err(self.half_moved(&pending.file.path));
        }
        for Removal { path, object, .. } in &state.removals {
            if self.standing(path).await?.as_ref() != Some(object) {
                return Err(self.half_moved(path));
            }
        }
        Ok(())
    }

    fn half_moved(&self, path: &str) -> Error {
        Error::HalfMoved { place: self.place.clone(), path: path.to_owned() }
    }

    /// What stands there now.
    pub(super) async fn standing(&self, path: &str) -> Result<Option<Version>, Error> {
        let found = patiently(self.patience, async || self.lake.head(path).await).await?;
        Ok(found.map(|meta| meta.version))
    }
}

/// The state before the batch: its records are read again.
fn batch_undone(mut state: State) -> State {
    if let Some(before) = state.before.take() {
        tracing::warn!(
            topic = state.topic,
            partition = state.partition.0,
            from = before.next_offset,
            to = state.next_offset,
            "nothing of the last batch is visible: its records are read again"
        );
        (state.next_offset, state.last_record) = (before.next_offset, before.last_record);
        state.pending = Vec::new();
    }
    state
}

/// The state without the files that are gone.
fn given_up(mut state: State, fates: &[Fate], at: DateTime<Utc>) -> State {
    state.before = None;
    let pending = std::mem::take(&mut state.pending);
    for (pending, fate) in pending.into_iter().zip(fates) {
        if *fate == Fate::Gone {
            let file = pending.file;
            tracing::warn!(path = file.path, rows = file.rows, "this file is given up, its rows are lost");
            state.lost_files.push(LostFile { file, at });
        } else {
            state.pending.push(pending);
        }
    }
    state
}
