//! Keeps a partition's state object in the lake, by compare-and-swap.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::lake::{Expect, Lake, LakeError, Version};
use common::retry::Backoff;
use common::run::{Stopwatch, failpoint, new_run_id};

use crate::config::{GateArgs, OnGap, OnNewTopic};
use crate::error::Error;
use crate::place::Place;
use crate::standing::Standing;
use crate::state::{Lost, State};

/// How often a claim begins again when another instance claims at the same time.
const CLAIMS: u32 = 20;

/// Time between two looks at whether the owner has written.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The state object as it was last read or written here. Of several writers one succeeds.
#[derive(Debug)]
pub struct Ledger {
    lake: Lake,
    place: Place,
    state: State,
    version: Version,
    patience: Duration,
}

/// What Kafka holds of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRange {
    /// The first offset.
    pub start: i64,
    /// The offset behind the last.
    pub end: i64,
}

/// Who claims, when, and what it may accept.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Name of this instance, for people.
    pub owner: &'a str,
    /// The time now.
    pub at: DateTime<Utc>,
    /// What to do about gaps and new topics.
    pub gates: &'a GateArgs,
    /// How long the lake may be away.
    pub patience: Duration,
}

impl Ledger {
    /// Takes the partition over: whoever had it before is fenced from here on.
    pub async fn claim(
        lake: &Lake,
        place: &Place,
        log: LogRange,
        claim: Claim<'_>,
        standing: &Standing,
    ) -> Result<Self, Error> {
        let mut lost_to = None;
        for _ in 0..CLAIMS {
            let found = read(lake, place, claim.patience).await?;
            let (mut state, expect) = if let Some((state, version)) = found {
                (placed(state, place, log, claim)?, Expect::Version(version))
            } else {
                never_read(lake, place, claim, standing).await?;
                (State::fresh(place, log.start, claim.at), Expect::Absent)
            };
            state.epoch += 1;
            claim.owner.clone_into(&mut state.owner);
            state.commit = new_run_id();
            state.committed_at = claim.at;
            failpoint("state_read");
            match swap(lake, place, &state, &expect, claim.patience).await {
                Ok(version) => {
                    failpoint("claimed");
                    let (lake, place) = (lake.clone(), place.clone());
                    return Ok(Self { lake, place, state, version, patience: claim.patience });
                }
                Err(error @ Error::Fenced { .. }) => lost_to = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(lost_to.expect("each attempt but a lost one returned"))
    }

    /// Reads the state object without taking the partition over, to change its files beside the owner.
    pub async fn visit(lake: &Lake, place: &Place, patience: Duration) -> Result<Self, Error> {
        let found = read(lake, place, patience).await?;
        let (state, version) = found.ok_or_else(|| fenced(place, None))?;
        Ok(Self { lake: lake.clone(), place: place.clone(), state, version, patience })
    }

    /// The state as it stands in the lake, but for what is published and not committed yet.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Notes what is true already and is written with the next commit.
    pub fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// How long the lake may be away from here on.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Replaces the state. [`Error::Fenced`] when another instance was first, [`Error::Rearranged`] when a command
    /// was, or the owner beside this command: nothing of `next` happened.
    /// With any other error it may have happened or may yet: only reading the object again can tell.
    pub async fn commit(&mut self, mut next: State, at: DateTime<Utc>) -> Result<(), Error> {
        next.committed_at = at;
        next.owners_turn = false;
        self.replace(next).await
    }

    async fn replace(&mut self, next: State) -> Result<(), Error> {
        let expect = Expect::Version(self.version.clone());
        self.version = swap(&self.lake, &self.place, &next, &expect, self.patience).await?;
        self.state = next;
        Ok(())
    }

    /// The owner's state now: this one's, or that of whoever has taken over.
    pub async fn read_again(&self) -> Result<Option<State>, Error> {
        Ok(read(&self.lake, &self.place, self.patience).await?.map(|(state, _)| state))
    }

    /// [`Error::Fenced`] when another instance has taken over, [`Error::Rearranged`] when the content is another one
    /// of the same owner.
    pub async fn check_owner(&self) -> Result<(), Error> {
        match self.read_again().await? {
            Some(now) if now.commit == self.state.commit => Ok(()),
            now => Err(lost(&self.place, &self.state, now.as_ref())),
        }
    }

    /// Goes on from what was written meanwhile, by a command or by the owner beside this command. It was written when
    /// all that was pending before was visible. [`Error::Fenced`] when another instance has taken over.
    pub async fn catch_up(&mut self) -> Result<(), Error> {
        match read(&self.lake, &self.place, self.patience).await? {
            Some((now, version)) if now.has_owner_of(&self.state) => {
                (self.state, self.version) = (now, version);
                Ok(())
            }
            now => Err(fenced(&self.place, now.as_ref().map(|(state, _)| state))),
        }
    }

    /// The same for the owner, who writes next: commands wait for it.
    pub async fn take_turn(&mut self) -> Result<(), Error> {
        loop {
            self.catch_up().await?;
            let next = State { owners_turn: true, commit: new_run_id(), ..self.state.clone() };
            match self.replace(next).await {
                Err(Error::Rearranged { .. }) => {}
                done => return done,
            }
        }
    }

    /// For a command: lets the owner write first where it is its turn, but not for longer than `limit`: it may be dead.
    pub async fn let_owner_write(&mut self, limit: Duration) -> Result<(), Error> {
        let watch = Stopwatch::start();
        while self.state.owners_turn && watch.elapsed() < limit {
            tokio::time::sleep(LOOK_AGAIN).await;
            let before = self.state.commit.clone();
            self.catch_up().await?;
            if self.state.commit != before {
                break;
            }
        }
        Ok(())
    }
}

/// [`Error::StateMissing`] where files of the partition stand: a state object has been removed, which this program
/// never does.
async fn never_read(lake: &Lake, place: &Place, claim: Claim<'_>, standing: &Standing) -> Result<(), Error> {
    let Some((files, first)) = standing.files_of(place).await? else { return Ok(()) };
    // Another instance may have been the first to claim it, and have written them since.
    if read(lake, place, claim.patience).await?.is_some() {
        return Ok(());
    }
    Err(Error::StateMissing { place: place.clone(), path: place.state_path(), files, first })
}

/// The state to go on from, where the log still holds what comes next.
fn placed(mut state: State, place: &Place, log: LogRange, claim: Claim<'_>) -> Result<State, Error> {
    let next_offset = state.next_offset;
    if next_offset > log.end {
        if claim.gates.on_new_topic == OnNewTopic::Stop {
            return Err(Error::NewTopic { place: place.clone(), next_offset, log_end: log.end });
        }
        tracing::warn!(%place, next_offset, log_end = log.end, "the topic is another one: reading it from its beginning");
        state.restart(log.start);
    } else if next_offset < log.start {
        if claim.gates.on_gap == OnGap::Stop {
            return Err(Error::Gap { place: place.clone(), next_offset, log_start: log.start });
        }
        tracing::warn!(%place, from = next_offset, to = log.start, "records were deleted before they were read: skipped");
        state.lost.push(Lost { from: next_offset, to: log.start, at: claim.at });
        state.next_offset = log.start;
    }
    Ok(state)
}

async fn read(lake: &Lake, place: &Place, patience: Duration) -> Result<Option<(State, Version)>, Error> {
    let path = place.state_path();
    let found = patiently(patience, async || lake.get(&path).await).await?;
    found.map(|(json, version)| Ok((State::parse(place, &json)?, version))).transpose()
}

/// Writes `next` where `expect` holds, exactly once whatever answer is lost.
///
/// A write whose answer was lost may be repeated: it names what it replaces, so at most one of the attempts
/// happens, and the commit's name tells whether one did.
async fn swap(
    lake: &Lake,
    place: &Place,
    next: &State,
    expect: &Expect,
    patience: Duration,
) -> Result<Version, Error> {
    let path = place.state_path();
    let mut backoff = backoff(patience);
    loop {
        let error = match lake.put(&path, next.to_json().into(), expect).await {
            Ok(version) => return Ok(version),
            Err(error @ (LakeError::Conflict(_) | LakeError::Unavailable { .. })) => error,
            Err(error) => return Err(error.into()),
        };
        match read(lake, place, patience).await? {
            Some((now, version)) if now.commit == next.commit => return Ok(version),
            now if is_expected(now.as_ref().map(|(_, version)| version), expect) => {}
            now => return Err(lost(place, next, now.as_ref().map(|(state, _)| state))),
        }
        wait_or(
            LakeError::Unavailable { action: format!("replace {path}"), reason: error.to_string() },
            &mut backoff,
        )
        .await?;
    }
}

fn is_expected(now: Option<&Version>, expect: &Expect) -> bool {
    match expect {
        Expect::Any => true,
        Expect::Absent => now.is_none(),
        Expect::Version(version) => now == Some(version),
    }
}

/// Who was first.
fn lost(place: &Place, mine: &State, now: Option<&State>) -> Error {
    match now {
        Some(now) if now.has_owner_of(mine) => Error::Rearranged { place: place.clone() },
        now => fenced(place, now),
    }
}

fn fenced(place: &Place, now: Option<&State>) -> Error {
    let owner =
        now.map_or_else(|| "someone who removed the state object".to_owned(), |state| state.owner.clone());
    Error::Fenced { place: place.clone(), owner, epoch: now.map_or(0, |state| state.epoch) }
}

/// The waits of one lake operation.
pub fn backoff(patience: Duration) -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5), patience)
}

/// Repeats an operation while the lake does not answer.
pub async fn patiently<T>(
    patience: Duration,
    operation: impl AsyncFn() -> Result<T, LakeError>,
) -> Result<T, Error> {
    let mut backoff = backoff(patience);
    loop {
        match operation().await {
            Ok(done) => return Ok(done),
            Err(error) => wait_or(error, &mut backoff).await?,
        }
    }
}

/// Waits before the next attempt, or gives up with the error.
pub async fn wait_or(error: LakeError, backoff: &mut Backoff) -> Result<(), Error> {
    let Some(wait) = error.retryable().then(|| backoff.next_wait()).flatten() else {
        return Err(error.into());
    };
    metrics::counter!("tributary_lake_outages_total").increment(1);
    tracing::warn!(%error, "waiting for the lake");
    tokio::time::sleep(wait).await;
    Ok(())
}
