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
use crate::inventory::{Files, Footers, states};
use crate::judging::Judge;
use crate::place::Place;
use crate::schemas::Schemas;
use crate::topic_log::{ANSWER_WITHIN, TopicLog};
use proof::Prover;
pub use report::Verified;
use report::{Kind, Proof};

/// How often a partition is read again because one of its files was replaced meanwhile.
const ATTEMPTS: u32 = 10;

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
    let judge = Judge::new(Schemas::new(registry, args.outage_limit));
    let log = Arc::new(TopicLog::open(&args.kafka, ANSWER_WITHIN)?);
    let known = log.ask(TopicLog::partitions).await?;
    let topic = args.kafka.topic.clone();
    // A partition has a state object before it has files.
    let Files { owned, foreign } = Files::list(&lake, &topic).await?;
    let consumed = states(&lake, &topic).await?;
    let mut proofs = Vec::with_capacity(consumed.len());
    for place in consumed.keys() {
        let exists = known.contains(&place.partition);
        let proof = match prove(&lake, &log, &judge, place, exists).await {
            Err(error) if error.is_of_one_partition() => Proof::of(place, Kind::BadState, error.to_string()),
            proof => proof?,
        };
        proofs.push(proof);
    }
    let stray =
        owned.into_iter().filter(|(place, _)| !consumed.contains_key(place)).flat_map(|(_, files)| files);
    let stray = stray.map(|(_, meta)| meta).collect();
    let (parquet, other): (Vec<_>, Vec<_>) =
        foreign.into_iter().partition(|meta| meta.path.ends_with(".parquet"));
    let unread = known.iter().filter(|id| !consumed.keys().any(|place| place.partition == **id));
    let paths = |metas: Vec<ObjectMeta>| metas.into_iter().map(|meta| meta.path).collect();
    let stray_files: Vec<String> = paths([stray, parquet].concat());
    Ok(Verified {
        topic,
        clean: stray_files.is_empty() && proofs.iter().all(|proof| proof.differences.is_empty()),
        unread_partitions: unread.map(|id| id.0).collect(),
        partitions: proofs,
        stray_files,
        other_objects: paths(other),
    })
}

/// Compares a partition, again where one of its files was replaced while it was read.
async fn prove(
    lake: &Lake,
    log: &Arc<TopicLog>,
    judge: &Judge,
    place: &Place,
    exists: bool,
) -> Result<Proof, Error> {
    if !exists {
        return Ok(Proof::of(place, Kind::OtherTopic, "the topic has no such partition any more"));
    }
    let mut footers = Footers::default();
    for _ in 0..ATTEMPTS {
        let snapshot = snapshot::take(lake, place).await?;
        match Prover::new(lake, log, judge, place, &snapshot).prove(&mut footers).await {
            Err(Error::Lake(LakeError::Changed(path))) => {
                tracing::info!(path, "was replaced while it was read: reading the partition again");
            }
            done => return done,
        }
    }
    Err(Error::Busy { place: place.clone() })
}
