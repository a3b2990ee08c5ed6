//! What would stop the next run, as that run would say it.

use std::sync::Arc;

use common::lake::Lake;

use super::report::PartitionStatus;
use crate::error::Error;
use crate::inventory::{Files, state};
use crate::ledger::LogRange;
use crate::place::Place;
use crate::state::State;
use crate::topic_log::TopicLog;

/// The first thing that would stop it. `log`: what Kafka has of the partition; none where it has no such partition, or
/// is not `reachable`.
pub async fn of(
    (kafka, reachable): (&Arc<TopicLog>, bool),
    (lake, files): (&Lake, &Files),
    state: &State,
    log: Option<LogRange>,
    known: &PartitionStatus,
) -> Result<Option<String>, Error> {
    let place = Place { topic: state.topic.as_str().into(), partition: state.partition };
    let mut pending = state.all_pending().zip(&known.pending);
    if let Some((lost, _)) = pending.find(|(_, shown)| shown.lost) {
        return Ok(Some(Error::lost(place, &lost.file).to_string()));
    }
    if let Some(path) = replaced(lake, files, state, &place).await? {
        return Ok(Some(Error::Foreign { place, path }.to_string()));
    }
    let Some(log) = log else {
        return Ok(
            reachable.then(|| format!("{place}: the topic has no such partition any more; nothing reads it"))
        );
    };
    let next_offset = state.next_offset;
    if next_offset > log.end {
        return Ok(Some(Error::NewTopic { place, next_offset, log_end: log.end }.to_string()));
    }
    if next_offset < log.start {
        return Ok(Some(Error::Gap { place, next_offset, log_start: log.start }.to_string()));
    }
    Ok(other_topic(kafka, state, log, &place).await)
}

/// The same of a partition that has files, and no state object.
pub fn of_missing(place: &Place, files: &Files) -> Option<String> {
    let (count, first) = files.of(place)?;
    let path = place.state_path();
    Some(Error::StateMissing { place: place.clone(), path, files: count, first }.to_string())
}

/// An open file in whose place another content stands, unless an instance has committed since the state was read.
async fn replaced(lake: &Lake, files: &Files, read: &State, place: &Place) -> Result<Option<String>, Error> {
    let pending = |path: &str| read.all_pending().any(|file| file.file.path == path);
    let mut tails = read.tails.iter().filter(|tail| !pending(&tail.file.path));
    let other = tails
        .find(|tail| files.standing(place, &tail.file.path).is_some_and(|standing| *standing != tail.object));
    let Some(tail) = other else { return Ok(None) };
    let unchanged = state(lake, place).await?.is_some_and(|now| now.commit == read.commit);
    Ok(unchanged.then(|| tail.file.path.clone()))
}

/// Reads the last record that was read before once more, where Kafka still has it.
async fn other_topic(kafka: &Arc<TopicLog>, state: &State, log: LogRange, place: &Place) -> Option<String> {
    let last = state.last_record.clone().filter(|last| (log.start..log.end).contains(&last.offset))?;
    let (partition, offset) = (state.partition, last.offset);
    let asked = kafka.ask(move |kafka| {
        let mut other = false;
        kafka.read(partition, LogRange { start: offset, end: offset + 1 }, |chunk| {
            other = chunk.get(0).is_some_and(|now| last.is_contradicted_by(&now));
            false
        })?;
        Ok(other)
    });
    match asked.await {
        Ok(other) => other.then(|| Error::OtherTopic { place: place.clone(), offset }.to_string()),
        Err(error) => Some(error.to_string()),
    }
}
