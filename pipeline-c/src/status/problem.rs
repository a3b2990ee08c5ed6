//! What would stop the next run, as that run would say it.

use std::sync::Arc;

use super::report::PartitionStatus;
use crate::error::Error;
use crate::ledger::LogRange;
use crate::place::Place;
use crate::state::State;
use crate::topic_log::TopicLog;

/// The first thing that would stop it. `log`: what Kafka has of the partition; none where it has no such partition, or
/// is not `reachable`.
pub async fn of(
    kafka: &Arc<TopicLog>,
    reachable: bool,
    state: &State,
    log: Option<LogRange>,
    known: &PartitionStatus,
) -> Option<String> {
    let place = Place { topic: state.topic.as_str().into(), partition: state.partition };
    let mut pending = state.all_pending().zip(&known.pending);
    if let Some((lost, _)) = pending.find(|(_, shown)| shown.lost) {
        return Some(Error::lost(place, &lost.file).to_string());
    }
    let Some(log) = log else {
        return reachable
            .then(|| format!("{place}: the topic has no such partition any more; nothing reads it"));
    };
    let next_offset = state.next_offset;
    if next_offset > log.end {
        return Some(Error::NewTopic { place, next_offset, log_end: log.end }.to_string());
    }
    if next_offset < log.start {
        return Some(Error::Gap { place, next_offset, log_start: log.start }.to_string());
    }
    other_topic(kafka, state, log, &place).await
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
