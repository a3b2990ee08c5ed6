//! Proves that each record of the topic is one row of the lake.
//!
//! Kafka's records are judged again and compared with the rows that stand in the lake, partition by partition, as
//! multisets of contents: first by sums in buckets, then, where a bucket differs, row by row.

mod examine;
mod hash;
mod offsets;
mod proof;
mod report;
mod rows;
mod snapshot;
mod table;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use common::avro::Registry;
use common::lake::LakeError;
use common::lake::{Lake, ObjectMeta};
use common::settings::{KafkaArgs, LakeArgs, RegistryArgs, duration};

use crate::commands::OutputArgs;
use crate::error::Error;
use crate::judging::Judge;
use crate::place::Place;
use crate::schemas::Schemas;
use crate::topic_log::{ANSWER_WITHIN, TopicLog};
use proof::Prover;
pub use report::Verified;
use report::{Kind, Proof};
use snapshot::{Snapshot, Snapshots};

/// How often a partition is read again because one of its files was replaced meanwhile.
const ATTEMPTS: u32 = 5;

/// Settings of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    lake: LakeArgs,
    /// How long an outage of the registry is waited out
    #[arg(long, env = "OUTAGE_LIMIT", value_name = "DURATION", default_value = "10m", value_parser = duration)]
    outage_limit: Duration,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Compares the whole topic with the lake. Instances may go on meanwhile.
pub async fn run(args: &VerifyArgs) -> Result<Verified, Error> {
    let lake = Lake::open(&args.lake.lake).await?;
    let registry = Registry::open(&args.registry.registry)?;
    let mut judge = Judge::new(Schemas::new(registry, args.outage_limit));
    let log = Arc::new(TopicLog::open(&args.kafka, ANSWER_WITHIN)?);
    let known = log.ask(TopicLog::partitions).await?;
    let topic = args.kafka.topic.clone();
    let Snapshots { partitions, stray, foreign } = snapshot::take(&lake, &topic).await?;
    let mut proofs = Vec::with_capacity(partitions.len());
    let consumed: Vec<_> = partitions.keys().map(|place| place.partition).collect();
    for (place, snapshot) in partitions {
        let exists = known.contains(&place.partition);
        proofs.push(prove(&lake, &log, &mut judge, place, snapshot, exists).await?);
    }
    let (parquet, other): (Vec<_>, Vec<_>) =
        foreign.into_iter().partition(|meta| meta.path.ends_with(".parquet"));
    let paths = |metas: Vec<ObjectMeta>| metas.into_iter().map(|meta| meta.path).collect();
    let stray_files: Vec<String> = paths([stray, parquet].concat());
    Ok(Verified {
        topic,
        clean: stray_files.is_empty() && proofs.iter().all(|proof| proof.differences.is_empty()),
        unread_partitions: known.iter().filter(|id| !consumed.contains(id)).map(|id| id.0).collect(),
        partitions: proofs,
        stray_files,
        other_objects: paths(other),
    })
}

/// Compares a partition, again where one of its files was replaced while it was read.
async fn prove(
    lake: &Lake,
    log: &Arc<TopicLog>,
    judge: &mut Judge,
    place: Place,
    mut snapshot: Snapshot,
    exists: bool,
) -> Result<Proof, Error> {
    for _ in 0..ATTEMPTS {
        if !exists {
            let mut proof = Proof { partition: place.partition.0, ..Proof::default() };
            proof.differs(Kind::OtherTopic, None, None, "the topic has no such partition any more");
            return Ok(proof);
        }
        match Prover::new(lake, log, judge, &place, &snapshot).prove().await {
            Err(Error::Lake(LakeError::Changed(path))) => {
                tracing::info!(path, "was replaced while it was read: reading the partition again");
                let mut now = snapshot::take(lake, &place.topic).await?;
                let Some(again) = now.partitions.remove(&place) else { break };
                snapshot = again;
            }
            done => return done,
        }
    }
    Err(Error::Busy { place })
}
