//! Settings of pipeline C.

use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use common::settings::{ByteSize, KafkaArgs, LakeArgs, RegistryArgs, RunArgs, duration, ratio};
use common::telemetry::TelemetryArgs;

/// Moves events from Kafka to the lake's `events` and `events_malformed`, each record exactly once.
#[derive(Debug, Clone, Parser)]
#[command(name = "pipeline-c", version)]
pub struct Config {
    /// Where the events come from.
    #[command(flatten)]
    pub kafka: KafkaArgs,
    /// Where their schemas are.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Where the events go.
    #[command(flatten)]
    pub lake: LakeArgs,
    /// How often, and the form of the report.
    #[command(flatten)]
    pub run: RunArgs,
    /// Consumer group; instances of one group share the partitions
    #[arg(long, env = "KAFKA_GROUP", value_name = "NAME", default_value = "tributary-pipeline-c")]
    pub group: String,
    /// When and in which pieces rows become files.
    #[command(flatten)]
    pub flush: FlushArgs,
    /// What to do with records and logs that are not as they should be.
    #[command(flatten)]
    pub gates: GateArgs,
    /// Logs and metrics.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

impl Config {
    /// The settings of a program that embeds this job: the defaults, and where everything is.
    #[must_use]
    pub fn embedded(kafka: KafkaArgs, registry: RegistryArgs, lake: LakeArgs, run: RunArgs) -> Self {
        Self {
            kafka,
            registry,
            lake,
            run,
            group: "tributary-pipeline-c".to_owned(),
            flush: FlushArgs::default(),
            gates: GateArgs::default(),
            telemetry: TelemetryArgs::default(),
        }
    }
}

/// When and in which pieces rows become files.
#[derive(Debug, Clone, Args)]
pub struct FlushArgs {
    /// With --every: the longest time that rows wait to become visible, e.g. `30s`; --every shortens it
    #[arg(long, env = "FLUSH_INTERVAL", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub flush_interval: Duration,
    /// Flush when a partition holds this much in memory, in bytes (`64MiB`)
    #[arg(long, env = "FLUSH_BYTES", value_name = "SIZE", default_value = "64MiB")]
    pub flush_bytes: ByteSize,
    /// Flush when a partition holds this many rows
    #[arg(long, env = "FLUSH_ROWS", value_name = "ROWS", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub flush_rows: u64,
    /// A file that has reached this size is not rewritten any more, in bytes (`64MiB`)
    #[arg(long, env = "TARGET_FILE_SIZE", value_name = "SIZE", default_value = "64MiB")]
    pub target_file_size: ByteSize,
    /// Limit of all buffers together, in bytes (`256MiB`); consumption pauses at it
    #[arg(long, env = "MAX_MEMORY", value_name = "SIZE", default_value = "256MiB")]
    pub max_memory: ByteSize,
    /// What a flush does with the newest file of a date
    #[arg(long, env = "TAIL", value_enum, default_value_t)]
    pub tail: TailMode,
}

impl Default for FlushArgs {
    fn default() -> Self {
        Self {
            flush_interval: Duration::from_secs(30),
            flush_bytes: ByteSize::mib(64),
            flush_rows: 1_000_000,
            target_file_size: ByteSize::mib(64),
            max_memory: ByteSize::mib(256),
            tail: TailMode::Rewrite,
        }
    }
}

/// What to do with records and logs that are not as they should be.
#[derive(Debug, Clone, Args)]
pub struct GateArgs {
    /// Share of malformed records above which a batch of at least 100 records raises an alert (0 to 1)
    #[arg(long, env = "MAX_MALFORMED_RATIO", value_name = "RATIO", default_value_t = 0.05, value_parser = ratio)]
    pub max_malformed_ratio: f64,
    /// What happens to a batch above the ratio: `halt` commits nothing of it and ends with code 3
    #[arg(long, env = "ON_MALFORMED", value_enum, default_value_t)]
    pub on_malformed: OnMalformed,
    /// What to do when Kafka has deleted records that were not read yet: `skip` goes on and records the loss
    #[arg(long, env = "ON_GAP", value_enum, default_value_t)]
    pub on_gap: OnGap,
    /// What to do when a file that was committed, and not yet visible, is gone: `skip` reads its records again from
    /// Kafka where nothing else of its commit is visible, and accepts and records the loss otherwise
    #[arg(long, env = "ON_LOST_FILE", value_enum, default_value_t)]
    pub on_lost_file: OnLostFile,
    /// What to do when the topic was deleted and made anew: `restart` reads the new one from its beginning and keeps
    /// the old one's rows
    #[arg(long, env = "ON_NEW_TOPIC", value_enum, default_value_t)]
    pub on_new_topic: OnNewTopic,
    /// Without --every: how long an outage of the registry, the lake or Kafka is waited out before the run fails.
    /// With it, they are waited for without end
    #[arg(long, env = "OUTAGE_LIMIT", value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub outage_limit: Duration,
}

impl Default for GateArgs {
    fn default() -> Self {
        Self {
            max_malformed_ratio: 0.05,
            on_malformed: OnMalformed::Continue,
            on_gap: OnGap::Stop,
            on_lost_file: OnLostFile::Stop,
            on_new_topic: OnNewTopic::Stop,
            outage_limit: Duration::from_mins(10),
        }
    }
}

/// What a flush does with the newest file of a date.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum TailMode {
    /// Replace it, atomically, by itself plus the new rows, until it has the target size: few files
    #[default]
    Rewrite,
    /// Leave it and write another: immutable files, for readers that cannot bear a replacement
    Append,
}

/// What happens to a batch above the malformed ratio.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OnMalformed {
    /// Commit it; the alert is logged and counted
    #[default]
    Continue,
    /// Refuse it
    Halt,
}

/// What to do about records that Kafka deleted before they were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OnGap {
    /// End with an error
    #[default]
    Stop,
    /// Accept the loss and record it in the state object
    Skip,
}

/// What to do about a file that was committed, and is gone before it was visible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OnLostFile {
    /// End with an error
    #[default]
    Stop,
    /// Undo its commit where that is possible, otherwise accept the loss and record it
    Skip,
}

/// What to do about a topic that was deleted and made anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OnNewTopic {
    /// End with an error
    #[default]
    Stop,
    /// Read the new topic from its beginning
    Restart,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_command_line_and_of_an_embedding_program_are_the_same() {
        let args = "c --brokers b:1 --registry dir:/r --lake file:///l --kafka-config a=b";
        let parsed = Config::try_parse_from(args.split(' ')).unwrap();
        let embedded = Config::embedded(
            parsed.kafka.clone(),
            parsed.registry.clone(),
            parsed.lake.clone(),
            parsed.run.clone(),
        );
        assert_eq!(format!("{parsed:?}"), format!("{embedded:?}"));
    }
}
