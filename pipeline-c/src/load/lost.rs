//! Files that were committed and are gone before readers could see them: undo their commit, or go on without them.

use chrono::{DateTime, Utc};
use common::lake::{Expect, LakeError, Version};
use common::run::new_run_id;

use super::Loader;
use crate::error::Error;
use crate::ledger::patiently;
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
    pub(super) async fn recover(&mut self, before: &Standing, at: DateTime<Utc>) -> Result<(), Error> {
        let fates = self.fates(before).await?;
        if !fates.contains(&Fate::Gone) {
            return Ok(());
        }
        let state = self.ledger.state().clone();
        let next = if state.is_move() {
            self.move_undone(state, &fates).await?
        } else if state.before.is_some() && !fates.contains(&Fate::Visible) {
            for pending in &state.pending {
                self.throw_away_pending(pending).await?;
            }
            // A sleeping owner may have published one of them just before.
            let fates = self.fates(&before.without_uploads()).await?;
            if fates.contains(&Fate::Visible) { given_up(state, &fates, at) } else { batch_undone(state) }
        } else {
            given_up(state, &fates, at)
        };
        self.ledger.commit(State { commit: new_run_id(), ..next }, at).await
    }

    /// What has become of each pending file, in their order. A file whose tail was removed holds its rows, too, so
    /// it is published all the same.
    async fn fates(&mut self, before: &Standing) -> Result<Vec<Fate>, Error> {
        let mut state = self.ledger.state().clone();
        let mut fates = Vec::new();
        for pending in state.pending.iter_mut().chain(&mut state.pending_then) {
            let staged = before.uploads.iter().any(|upload| upload.id == pending.staged.upload);
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
    async fn move_undone(&self, mut state: State, fates: &[Fate]) -> Result<State, Error> {
        let half_moved = |path: &str| Error::HalfMoved { place: self.place.clone(), path: path.to_owned() };
        let (added, left) = fates.split_at(state.pending.len());
        let mut left = state.pending_then.iter().zip(left);
        if let Some((pending, _)) = left.find(|(_, fate)| **fate == Fate::Visible) {
            return Err(half_moved(&pending.file.path));
        }
        for Removal { path, object, .. } in &state.removals {
            if self.standing(path).await?.as_ref() != Some(object) {
                return Err(half_moved(path));
            }
        }
        let mut removals = Vec::new();
        for (pending, fate) in state.pending.iter().zip(added) {
            let path = pending.file.path.clone();
            match (fate, &pending.expect) {
                (Fate::Visible, Expect::Absent) => {
                    let object = self.standing(&path).await?.ok_or_else(|| half_moved(&path))?;
                    removals.push(Removal { path, object, removed: false });
                }
                (Fate::Visible, _) => return Err(half_moved(&path)),
                (Fate::Staged | Fate::Gone, _) => self.throw_away_pending(pending).await?,
            }
        }
        for pending in &state.pending_then {
            self.throw_away_pending(pending).await?;
        }
        tracing::warn!(place = %self.place, "undoing a replay or compaction whose files are gone");
        (state.pending, state.pending_then, state.removals) = (Vec::new(), Vec::new(), removals);
        Ok(state)
    }

    /// What stands there now.
    pub(super) async fn standing(&self, path: &str) -> Result<Option<Version>, Error> {
        let found = patiently(self.patience, async || self.lake.head(path).await).await?;
        Ok(found.map(|meta| meta.version))
    }

    async fn throw_away_pending(&self, pending: &Pending) -> Result<(), LakeError> {
        self.lake.abort(&pending.staged).await
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
