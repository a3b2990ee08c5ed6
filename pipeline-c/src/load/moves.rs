//! Rows that change files: stage where they go, commit, publish, then take them away from where they were.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::lake::{Expect, Lake, LakeError, LakeFile, ObjectMeta, StageWriter, Staged};
use common::run::{Stopwatch, failpoint, new_run_id};
use common::settings::ByteSize;
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};

use super::{FILES_AT_ONCE, Loader, wait_or};
use crate::batch::Output;
use crate::config::{OnNewTopic, TailMode};
use crate::encode::{self, Label};
use crate::error::Error;
use crate::ledger::{Ledger, backoff};
use crate::memory::Room;
use crate::place::Place;
use crate::state::{DataFile, Pending, Removal, State, TailRule};

/// How long a command waits for an owner that was to write next.
const OWNERS_TURN: Duration = Duration::from_secs(20);

/// A change of files that leaves the partition's rows, taken together, the same.
///
/// Readers see the new files before the rows leave the old ones: never is a row in neither.
#[derive(Debug)]
#[must_use = "what is staged is thrown away unless it is committed"]
pub struct Move {
    commit: String,
    flush: u64,
    pub(super) added: Vec<Pending>,
    pub(super) left: Vec<Pending>,
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
    /// Changes a partition's files beside its owner, who goes on. Nothing is read from Kafka. Tails stay open, whatever
    /// their size.
    ///
    /// An instance that claims the partition after this throws away what is staged here; then the move does not happen.
    pub async fn visit(lake: Lake, place: Place, patience: Duration) -> Result<Self, Error> {
        let ledger = Ledger::visit(&lake, &place, patience).await?;
        Ok(Self {
            lake,
            place,
            ledger,
            rule: TailRule { mode: TailMode::Rewrite, target_bytes: u64::MAX },
            patience,
            room: Room::of(ByteSize(u64::MAX)),
            on_new_topic: OnNewTopic::Stop,
            last_record: None,
        })
    }

    /// Begins a move; all that was committed before is visible then.
    pub async fn begin_move(&mut self) -> Result<Move, Error> {
        self.publish().await?;
        let commit = new_run_id();
        Ok(Move {
            commit,
            flush: self.ledger.state().flush + 1,
            added: Vec::new(),
            left: Vec::new(),
            removed: Vec::new(),
        })
    }

    /// Stages rows that move in, as files of their own. `generation`: how often the topic had been made anew when
    /// their records were read.
    pub async fn move_in(&self, to: &mut Move, outputs: &[Output], generation: u32) -> Result<(), Error> {
        let commit = &to.commit;
        let flush = to.flush;
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
                // A new owner throws uploads away, and the owner replaces files.
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
        let file = DataFile { rows, bytes: staged.size, flush: of.flush, ..old.clone() };
        let expect = Expect::Version(meta.version.clone());
        Ok(Pending { file, staged, expect, closed: true, published: None })
    }

    /// Commits the move and makes it visible; returns how long readers could see rows in both places, in
    /// milliseconds. [`Error::Fenced`] and [`Error::Rearranged`]: nothing of it happened, begin again.
    pub async fn commit_move(&mut self, moved: Move, at: DateTime<Utc>) -> Result<u64, Error> {
        failpoint("move-staged");
        if let Err(error) = self.try_commit_move(&moved, at).await {
            if matches!(error, Error::Fenced { .. } | Error::Rearranged { .. }) {
                self.throw_away(moved.staged()).await;
            }
            return Err(error);
        }
        failpoint("move-committed");
        let in_both = Stopwatch::start();
        let published = match self.publish().await {
            // An instance that takes the partition over makes all of it visible first.
            Err(Error::Fenced { .. }) => return Ok(in_both.elapsed_ms()),
            published => published,
        };
        published?;
        let in_both_ms = in_both.elapsed_ms();
        failpoint("move-published");
        match self.settle(at).await {
            Err(Error::Fenced { .. }) => Ok(in_both_ms),
            settled => settled.map(|()| in_both_ms),
        }
    }

    /// The owner may write until this commit: then the move follows what the owner has written, if its files are
    /// still those that were read.
    async fn try_commit_move(&mut self, moved: &Move, at: DateTime<Utc>) -> Result<(), Error> {
        loop {
            self.ledger.let_owner_write(OWNERS_TURN).await?;
            self.publish().await?;
            if !self.stands(moved).await? {
                return Err(Error::Rearranged { place: self.place.clone() });
            }
            let mut after = self.ledger.state().clone();
            after.settle(self.rule);
            let next = State {
                commit: moved.commit.clone(),
                flush: after.flush + 1,
                pending: moved.added.clone(),
                pending_then: moved.left.clone(),
                removals: moved.removed.clone(),
                ..after
            };
            match self.ledger.commit(next, at).await {
                Err(Error::Rearranged { .. }) => self.ledger.catch_up().await?,
                done => return done,
            }
        }
    }

    /// Whether the files that rows move from are still those that were read.
    async fn stands(&self, moved: &Move) -> Result<bool, Error> {
        let replaced = moved.staged().filter_map(|file| match &file.expect {
            Expect::Version(version) => Some((&file.file.path, version)),
            Expect::Any | Expect::Absent => None,
        });
        for (path, version) in replaced.chain(moved.removed.iter().map(|gone| (&gone.path, &gone.object))) {
            if self.standing(path).await?.as_ref() != Some(version) {
                return Ok(false);
            }
        }
        Ok(true)
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
    fn staged(&self) -> impl Iterator<Item = &Pending> {
        self.added.iter().chain(&self.left)
    }

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
