//! How far the job is, read from the state objects and from Kafka.

mod problem;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use common::lake::{EVENTS, EVENTS_MALFORMED, Expect, Lake, Upload};
use common::run::Clock;
use common::settings::{KafkaArgs, LakeArgs};

use crate::commands::OutputArgs;
use crate::error::Error;
use crate::history::newest_reports;
use crate::inventory::{Files, states};
use crate::ledger::LogRange;
use crate::place::PartitionId;
use crate::state::State;
use crate::topic_log::TopicLog;
use report::{OpenFile, PartitionStatus, PendingFile, RemovedFile, Status};

/// How long Kafka is asked before the status is shown without it.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Settings of `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    lake: LakeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Looks. Where Kafka does not answer, or a state object is damaged, the status says so and shows the rest.
pub async fn run(args: &StatusArgs, clock: &Clock) -> Result<Status, Error> {
    let lake = Lake::open(&args.lake.lake).await?;
    let log = Arc::new(TopicLog::open(&args.kafka, ANSWER_WITHIN)?);
    let topic = &args.kafka.topic;
    let (states, logs) = tokio::join!(states(&lake, topic), log.ask(ranges));
    let uploads = [lake.uploads(EVENTS).await?, lake.uploads(EVENTS_MALFORMED).await?].concat();
    let (logs, kafka_error) = match logs {
        Ok(logs) => (logs, None),
        Err(error) => (BTreeMap::new(), Some(error.to_string())),
    };
    let mut partitions: BTreeMap<PartitionId, PartitionStatus> =
        logs.iter().map(|(id, range)| (*id, PartitionStatus::unread(id.0, *range))).collect();
    let (states, files) = (states?, Files::list(&lake, topic).await?);
    for place in files.owned.keys().filter(|place| !states.contains_key(place)) {
        let known = partitions.entry(place.partition).or_default();
        (known.partition, known.problem) = (place.partition.0, problem::of_missing(place, &files));
    }
    for (place, state) in states {
        let range = logs.get(&place.partition).copied();
        let known = match state {
            Ok(state) => {
                let mut known = of_state(&lake, &uploads, &state, range).await?;
                let reachable = kafka_error.is_none();
                known.problem =
                    problem::of((&log, reachable), (&lake, &files), &state, range, &known).await?;
                known
            }
            Err(error) => PartitionStatus {
                partition: place.partition.0,
                error: Some(error.to_string()),
                ..PartitionStatus::default()
            },
        };
        partitions.insert(place.partition, known);
    }
    let newest = partitions.values().filter_map(|partition| partition.newest_visible_at).max();
    Ok(Status {
        topic: topic.clone(),
        at: clock.now(),
        kafka_error,
        lag: partitions.values().map(|partition| partition.lag).sum::<Option<i64>>(),
        newest_visible_at: newest,
        freshness_ms: newest.map(|newest| (clock.now() - newest).num_milliseconds().max(0)),
        partitions: partitions.into_values().collect(),
        last_run: newest_reports(&lake, topic, 1).await?.pop(),
    })
}

fn ranges(log: &TopicLog) -> Result<BTreeMap<PartitionId, LogRange>, Error> {
    log.partitions()?.into_iter().map(|partition| Ok((partition, log.range(partition)?))).collect()
}

/// What the lake shows of a partition's state object.
async fn of_state(
    lake: &Lake,
    uploads: &[Upload],
    state: &State,
    log: Option<LogRange>,
) -> Result<PartitionStatus, Error> {
    let mut pending = Vec::new();
    for file in state.all_pending() {
        let standing = lake.head(&file.file.path).await?.map(|meta| meta.version);
        let visible = match (&file.expect, standing) {
            (_, None) => false,
            (Expect::Version(replaced), Some(now)) => now != *replaced,
            (Expect::Absent | Expect::Any, Some(_)) => true,
        };
        let staged = uploads.iter().any(|upload| upload.id == file.staged.upload);
        let (path, rows, bytes) = (file.file.path.clone(), file.file.rows, file.file.bytes);
        pending.push(PendingFile { path, rows, bytes, visible, lost: !visible && !staged });
    }
    let mut removals = Vec::new();
    for removal in &state.removals {
        let standing = lake.head(&removal.path).await?;
        let gone = standing.is_none_or(|meta| meta.version != removal.object);
        removals.push(RemovedFile { path: removal.path.clone(), gone });
    }
    let newest = state.last_record.as_ref().map(|record| record.timestamp_ms);
    let newest = newest.and_then(DateTime::<Utc>::from_timestamp_millis);
    let open = state.tails.iter().map(|tail| &tail.file);
    let open = open.chain(state.pending.iter().filter(|file| !file.closed).map(|file| &file.file));
    let open: BTreeMap<&String, OpenFile> = open
        .map(|file| (&file.path, OpenFile { path: file.path.clone(), rows: file.rows, bytes: file.bytes }))
        .collect();
    Ok(PartitionStatus {
        partition: state.partition.0,
        next_offset: Some(state.next_offset),
        log_start: log.map(|log| log.start),
        end_offset: log.map(|log| log.end),
        lag: log.map(|log| (log.end - state.next_offset).max(0)),
        newest_committed_at: newest,
        newest_visible_at: newest.filter(|_| pending.iter().all(|file| file.visible)),
        owner: Some(state.owner.clone()),
        epoch: Some(state.epoch),
        committed_at: Some(state.committed_at),
        lost_offsets: state.lost.iter().map(|lost| lost.to - lost.from).sum(),
        open: open.into_values().collect(),
        pending,
        removals,
        problem: None,
        error: None,
    })
}
