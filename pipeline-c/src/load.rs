//! The only place that writes data: stage, commit, publish.
//!
//! | killed | what stands | what the next owner does |
//! |---|---|---|
//! | while staging | uploads that nobody can see | throws them away, reads the records again |
//! | after staging, before the commit | the same | the same |
//! | in the commit, answer lost | the old or the new state, nothing between | reads it: goes on from what it says |
//! | after the commit, before or while publishing | a state that names what is pending | publishes it |
//! | after publishing | the same state, all visible | publishes it again, which changes nothing |

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::lake::{Expect, Lake, LakeError, ObjectMeta, StageWriter, Upload};
use common::retry::Backoff;
use common::run::{failpoint, new_run_id};
use common::settings::ByteSize;
use futures::{StreamExt, TryStreamExt, stream};

use crate::batch::Output;
use crate::config::{OnLostFile, OnNewTopic};
use crate::encode::{self, Label};
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::ledger::{Claim, Ledger, LogRange, backoff, patiently, wait_or};
use crate::memory::Room;
use crate::place::Place;
use crate::standing::Standing;
use crate::state::{Before, DataFile, Pending, State, Tail, TailRule};

mod lost;
mod moves;
mod other_topic;

pub use moves::{Move, Rewritten};

/// Files of a partition that are written at once. Each waits mostly for the store, and holds a row group.
const FILES_AT_ONCE: usize = 8;

/// The owner and a command beside it publish the same files. A store may have taken an upload away for the one of them
/// before the file is there for the other, so what is missing is looked for this long.
const ANOTHER_PUBLISHES: Duration = Duration::from_secs(3);

/// Memory that one file takes while it is written, at most.
const MOST_WRITTEN_BYTES: u64 = 24 * 1024 * 1024;

/// Writes one partition's rows. At most one loader of a partition can commit: the one that claimed it last.
#[derive(Debug)]
pub struct Loader {
    lake: Lake,
    place: Place,
    ledger: Ledger,
    rule: TailRule,
    patience: Duration,
    room: Room,
    on_new_topic: OnNewTopic,
    /// The last record of the batch that is committed next.
    last_record: Option<Fingerprint>,
}

/// Files that are durable, but belong to no state yet.
#[derive(Debug)]
#[must_use = "what is staged is thrown away unless it is committed"]
pub struct StagedFiles {
    commit: String,
    files: Vec<Pending>,
    /// The state that they follow, with all that was pending visible.
    after: State,
}

impl Loader {
    /// Takes the partition over, throws away what the owner before it left unfinished, and publishes what it
    /// had committed. `standing` was listed before.
    pub async fn claim(
        lake: Lake,
        place: Place,
        log: LogRange,
        claim: Claim<'_>,
        rule: TailRule,
        standing: &Standing,
    ) -> Result<Self, Error> {
        let ledger = Ledger::claim(&lake, &place, log, claim, standing).await?;
        let (patience, on_new_topic) = (claim.patience, claim.gates.on_new_topic);
        let room = Room::of(ByteSize(u64::MAX));
        let mut loader = Self { lake, place, ledger, rule, patience, room, on_new_topic, last_record: None };
        let (state, state_path) = (loader.ledger.state(), loader.place.state_path());
        let ours = |upload: &&Upload| loader.place.owns(&upload.path) || upload.path == state_path;
        for upload in standing.uploads.iter().filter(ours) {
            if !state.all_pending().any(|file| file.staged.upload == upload.id) {
                tracing::info!(path = upload.path, "throwing away an unfinished file");
                loader.throw_away_upload(upload).await?;
            }
        }
        failpoint("cleaned");
        if claim.gates.on_lost_file == OnLostFile::Skip {
            loader.recover(log, claim.at).await?;
        }
        loader.publish().await?;
        Ok(loader)
    }

    /// The same loader, but for how long it waits for the lake from here on.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self.ledger.set_patience(patience);
        self
    }

    /// The same loader, but for the room that it shares with others for files that are being written.
    #[must_use]
    pub fn within(mut self, room: Room) -> Self {
        self.room = room;
        self
    }

    /// Where to go on.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.ledger.state().next_offset
    }

    /// Which partition.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Writes rows, commits them with the next offset, and makes them visible. Where a command has moved rows of the
    /// partition meanwhile, the files are written again to fit.
    pub async fn write(
        &mut self,
        outputs: &[Output],
        next_offset: i64,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        loop {
            match self.publish().await {
                // It is committed, and who has taken the partition over makes it visible.
                Err(Error::Fenced { .. }) if self.next_offset() >= next_offset => return Ok(()),
                published => published?,
            }
            // Also where a commit happened, and its answer was lost before a command's: no command moves this offset.
            if self.next_offset() >= next_offset {
                return Ok(());
            }
            if let Err(error) = self.write_unseen(outputs, next_offset, at).await {
                if !matches!(error, Error::Rearranged { .. }) {
                    return Err(error);
                }
                tracing::info!(%error, "writing again");
                self.ledger.take_turn().await?;
            }
        }
    }

    async fn write_unseen(
        &mut self,
        outputs: &[Output],
        next_offset: i64,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        let staged = self.stage(outputs).await?;
        self.commit(staged, next_offset, at).await
    }

    /// Writes the rows where nobody sees them.
    pub async fn stage(&mut self, outputs: &[Output]) -> Result<StagedFiles, Error> {
        self.publish().await?;
        let commit = new_run_id();
        let mut after = self.ledger.state().clone();
        after.settle(self.rule);
        let staged: Vec<_> = stream::iter(outputs)
            .map(|output| self.stage_file(&after, output, &commit))
            .buffer_unordered(FILES_AT_ONCE)
            .collect()
            .await;
        let (mut files, mut failed) = (Vec::with_capacity(staged.len()), None);
        for file in staged {
            match file {
                Ok(file) => files.push(file),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            // This owner goes on; nobody else would throw them away soon.
            if matches!(error, Error::Rearranged { .. }) {
                self.throw_away(&files).await;
            }
            return Err(error);
        }
        failpoint("staged");
        Ok(StagedFiles { commit, files, after })
    }

    async fn stage_file(&self, after: &State, output: &Output, commit: &str) -> Result<Pending, Error> {
        let mut tail = after.open_tail(output.stream, output.date);
        let _room = self.room.take(written_bytes(tail, output)).await;
        let mut backoff = backoff(self.patience);
        loop {
            match self.try_stage_file(tail, output, commit).await {
                Ok(pending) => {
                    failpoint("file_staged");
                    return Ok(pending);
                }
                Err(LakeError::Changed(path)) => {
                    self.ledger.check_owner().await?;
                    if self.lake.head(&path).await?.is_some() {
                        return Err(Error::Foreign { place: self.place.clone(), path });
                    }
                    tracing::warn!(path, "this file was removed from the lake; its date gets a new one");
                    tail = None;
                }
                Err(error @ LakeError::Refused { .. }) => {
                    // A new owner throws the uploads of the old one away.
                    self.ledger.check_owner().await?;
                    return Err(error.into());
                }
                Err(error) => wait_or(error, &mut backoff).await?,
            }
        }
    }

    async fn try_stage_file(
        &self,
        tail: Option<&Tail>,
        output: &Output,
        commit: &str,
    ) -> Result<Pending, LakeError> {
        let state = self.ledger.state();
        let (path, expect, first_offset) = if let Some(Tail { file, object }) = tail {
            (file.path.clone(), Expect::Version(object.clone()), file.first_offset)
        } else {
            let first = output.first_offset;
            (self.place.file_path(output.stream, output.date, first, state.generation), Expect::Absent, first)
        };
        let label = Label { place: &self.place, first_offset, last_offset: output.last_offset, commit };
        let old = tail.map(|Tail { file, object }| {
            self.lake.file(ObjectMeta { path: file.path.clone(), size: file.bytes, version: object.clone() })
        });
        let expected = tail.map_or(0, |tail| tail.file.rows) + output.rows.num_rows() as u64;
        let write = async |to| {
            let (staged, rows) = encode::write(old, output, label, to, &path).await?;
            let reason = format!("{expected} rows were to be in its replacement, {rows} are");
            if rows == expected { Ok(staged) } else { Err(LakeError::Damaged { path: path.clone(), reason }) }
        };
        let staged = self.stage_or_clean_up(&path, commit, write).await?;
        let file = DataFile {
            path,
            stream: output.stream,
            date: output.date,
            first_offset,
            last_offset: output.last_offset,
            rows: expected,
            bytes: staged.size,
            flush: state.flush + 1,
            generation: state.generation,
        };
        Ok(Pending { file, staged, expect, closed: false, published: None })
    }

    /// Stages what `write` writes. Each attempt has an upload of its own: where one fails, nothing is left of it,
    /// so that they do not pile up while a store is full.
    async fn stage_or_clean_up<T>(
        &self,
        path: &str,
        commit: &str,
        write: impl AsyncFnOnce(StageWriter) -> Result<T, LakeError>,
    ) -> Result<T, LakeError> {
        let to = self.lake.stage(path, commit).await?;
        failpoint("upload_begun");
        let upload = to.upload();
        let written = write(to).await;
        if written.is_err()
            && let Err(error) = self.lake.abort_upload(&upload).await
        {
            tracing::debug!(%error, "an unfinished file is left for the next owner to throw away");
        }
        written
    }

    /// Makes the files part of the state, together with the next offset. From here on they are not lost.
    pub async fn commit(
        &mut self,
        staged: StagedFiles,
        next_offset: i64,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        let StagedFiles { commit, files, after } = staged;
        let before = Some(Before { next_offset: after.next_offset, last_record: after.last_record.clone() });
        let last_record = self.last_record.clone().or_else(|| after.last_record.clone());
        let (flush, pending) = (after.flush + 1, files.clone());
        let next = State { commit, flush, next_offset, before, last_record, pending, ..after };
        failpoint("before_commit");
        let committed = self.ledger.commit(next, at).await;
        failpoint("committed");
        if let Err(Error::Fenced { .. } | Error::Rearranged { .. }) = &committed {
            self.throw_away(&files).await;
        }
        committed
    }

    /// Makes all that is committed visible, and only that. Repeating it changes nothing.
    pub async fn publish(&mut self) -> Result<(), Error> {
        loop {
            match self.publish_content().await {
                // Who has written meanwhile had published all of this content before.
                Err(Error::Rearranged { .. }) => self.ledger.catch_up().await?,
                done => return done,
            }
        }
    }

    async fn publish_content(&mut self) -> Result<(), Error> {
        self.publish_all(|state| &mut state.pending).await?;
        self.take_away().await
    }

    async fn publish_all(&mut self, files: fn(&mut State) -> &mut Vec<Pending>) -> Result<(), Error> {
        let mut pending = files(self.ledger.state_mut()).clone();
        let published: Vec<_> =
            stream::iter(pending.iter().enumerate().filter(|(_, file)| file.published.is_none()))
                .map(async |(index, file)| Ok::<_, Error>((index, self.publish_file(file).await?)))
                .buffer_unordered(FILES_AT_ONCE)
                .try_collect()
                .await?;
        for (index, version) in published {
            pending[index].published = Some(version);
        }
        *files(self.ledger.state_mut()) = pending;
        failpoint("published");
        Ok(())
    }

    async fn publish_file(&self, pending: &Pending) -> Result<common::lake::Version, Error> {
        let mut backoff = backoff(self.patience);
        let mut another = Backoff::new(Duration::from_millis(50), Duration::from_secs(1), ANOTHER_PUBLISHES);
        loop {
            match self.lake.publish(&pending.staged, &pending.expect).await {
                Ok(version) => {
                    failpoint("file_published");
                    return Ok(version);
                }
                Err(LakeError::Conflict(_)) => {
                    self.ledger.check_owner().await?;
                    let error = self.not_published(pending).await?;
                    let wait = another.next_wait().filter(|_| matches!(error, Error::Lost { .. }));
                    tokio::time::sleep(wait.ok_or(error)?).await;
                }
                Err(error) => wait_or(error, &mut backoff).await?,
            }
        }
    }

    /// Writes down that everything is visible, so that the next owner has nothing to publish. Only saves time.
    pub async fn settle(&mut self, at: DateTime<Utc>) -> Result<(), Error> {
        loop {
            let mut next = self.ledger.state().clone();
            if !next.has_pending() || next.unpublished() {
                return Ok(());
            }
            next.settle(self.rule);
            next.commit = new_run_id();
            failpoint("before_settle");
            let settled = self.ledger.commit(next, at).await;
            failpoint("settled");
            if !matches!(settled, Err(Error::Rearranged { .. })) {
                return settled;
            }
            self.ledger.catch_up().await?;
            self.publish().await?;
        }
    }

    async fn throw_away_upload(&self, upload: &Upload) -> Result<(), Error> {
        patiently(self.patience, async || self.lake.abort_upload(upload).await).await
    }

    /// Whatever is not in the new owner's state: our own commit may have happened before it took over.
    async fn throw_away<'a>(&self, files: impl IntoIterator<Item = &'a Pending>) {
        let Ok(now) = self.ledger.read_again().await else { return };
        let named = |file: &Pending| {
            let mut kept = now.iter().flat_map(State::all_pending);
            kept.any(|kept| kept.staged.upload == file.staged.upload)
        };
        for file in files.into_iter().filter(|file| !named(file)) {
            if let Err(error) = self.lake.abort(&file.staged).await {
                tracing::debug!(%error, "an unfinished file is left for the next owner to throw away");
            }
        }
    }
}

/// Bytes in memory while a file is written, about: a row group as rows and encoded, a part that fills up and one
/// that is sent; less where there is less to write.
fn written_bytes(tail: Option<&Tail>, output: &Output) -> u64 {
    let content = output.rows.get_array_memory_size() as u64 + tail.map_or(0, |tail| tail.file.bytes);
    (2 * content).min(MOST_WRITTEN_BYTES)
}

#[cfg(test)]
mod tests;
