//! Settings that several programs take: each is a flag and an environment variable, the flag wins.

mod address;
mod units;

use std::time::Duration;

use clap::{Args, ValueEnum};

use address::Secret;
pub use address::{KafkaSetting, ProfilesUrl, SecretUrl};
pub use units::{ByteSize, duration, ratio};

/// Where the source tables are.
#[derive(Debug, Clone, Args)]
pub struct SourceArgs {
    /// Source database: `mysql://user:pw@host:port/db` or `sqlite:///abs/file.db`
    #[arg(long, env = "SOURCE_URL", value_name = "URL", hide_env_values = true, value_parser = Secret::<SecretUrl>::new())]
    pub source: SecretUrl,
}

/// Where the customer profiles are.
#[derive(Debug, Clone, Args)]
pub struct ProfilesArgs {
    /// Profile store: `cassandra://[user:pw@]host[:port][,host…]/keyspace?consistency=local_quorum` or
    /// `sqlite:///abs/file.db`
    #[arg(long, env = "PROFILES_URL", value_name = "URL", hide_env_values = true, value_parser = Secret::<ProfilesUrl>::new())]
    pub profiles: ProfilesUrl,
}

/// Where the lake is.
#[derive(Debug, Clone, Args)]
pub struct LakeArgs {
    /// Lake: `s3://bucket/prefix` (credentials, region and endpoint by the `AWS_*` variables) or `file:///abs/dir`
    #[arg(long, env = "LAKE_URL", value_name = "URL", value_parser = Secret::<SecretUrl>::new())]
    pub lake: SecretUrl,
}

/// Where the events come from.
#[derive(Debug, Clone, Args)]
pub struct KafkaArgs {
    /// Kafka brokers, `host:port,…`
    #[arg(long, env = "KAFKA_BROKERS", value_name = "HOST:PORT")]
    pub brokers: String,
    /// Topic of the events
    #[arg(long, env = "EVENTS_TOPIC", value_name = "NAME", default_value = "customer_events")]
    pub topic: String,
    /// Any librdkafka setting (repeatable; `;` between several in the environment variable)
    #[arg(
        long = "kafka-config",
        env = "KAFKA_CONFIG",
        value_name = "KEY=VALUE",
        value_delimiter = ';',
        value_parser = Secret::<KafkaSetting>::new(),
        hide_env_values = true
    )]
    pub config: Vec<KafkaSetting>,
}

/// Where the Avro schemas are.
#[derive(Debug, Clone, Args)]
pub struct RegistryArgs {
    /// Schema registry: base of a Confluent-compatible REST API, credentials in the URL's user part
    #[arg(long, env = "SCHEMA_REGISTRY_URL", value_name = "URL", hide_env_values = true, value_parser = Secret::<SecretUrl>::new())]
    pub registry: SecretUrl,
}

/// How pipelines A and B read and judge the source. The defaults suit most sources.
#[derive(Debug, Clone, Args)]
pub struct IncrementArgs {
    /// Range partitions of a read at most; about 10,000 ids make one
    #[arg(long, env = "READ_PARTITIONS", value_name = "N", default_value_t = 64)]
    pub read_partitions: u64,
    /// Connections that read side by side
    #[arg(long, env = "READ_CONNECTIONS", value_name = "N", default_value_t = 2)]
    pub read_connections: usize,
    /// Share of new transactions, 0 to 1, that may be rejected; more of at least 100 refuse the batch (exit 3)
    #[arg(long, env = "MAX_QUARANTINE_RATIO", value_name = "RATIO", default_value_t = 0.05, value_parser = ratio)]
    pub max_quarantine_ratio: f64,
    /// Give up missing ids after this long where running transactions cannot be asked for (no PROCESS privilege)
    #[arg(long, env = "GAP_GRACE", value_name = "DURATION", default_value = "10min", value_parser = humantime::parse_duration)]
    pub gap_grace: Duration,
    /// Account for ids strictly in order: nothing behind a missing id is read until it fills or is given up
    #[arg(long, env = "STRICT_ORDER", value_parser = clap::builder::FalseyValueParser::new())]
    pub strict_order: bool,
    /// A run that was killed holds its lock this long
    #[arg(long, env = "LEASE_TTL", value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub lease_ttl: Duration,
}

impl Default for IncrementArgs {
    fn default() -> Self {
        Self {
            read_partitions: 64,
            read_connections: 2,
            max_quarantine_ratio: 0.05,
            gap_grace: Duration::from_mins(10),
            strict_order: false,
            lease_ttl: Duration::from_mins(1),
        }
    }
}

/// What one run does besides the new rows. These have no environment variable: none should be left on.
#[derive(Debug, Clone, Default, Args)]
pub struct RecomputeArgs {
    /// Recompute everything, not only what has changed
    #[arg(long, conflicts_with = "every")]
    pub full: bool,
    /// Take the table as it is: forget the offset and the open gaps and recompute everything. For a database that
    /// was restored or swapped
    #[arg(long, conflicts_with = "every")]
    pub reset_offset: bool,
    /// Read and check all that a run would, say what it would recompute, and write nothing
    #[arg(long, conflicts_with = "every")]
    pub dry_run: bool,
}

/// How much memory pipelines A and B take.
#[derive(Debug, Clone, Args)]
pub struct MemoryArgs {
    /// Memory for the whole program, in bytes (`256MiB`); what does not fit together is worked through in turn
    #[arg(long, env = "MAX_MEMORY", value_name = "SIZE", default_value = "256MiB")]
    pub max_memory: ByteSize,
}

impl Default for MemoryArgs {
    fn default() -> Self {
        Self { max_memory: ByteSize::mib(256) }
    }
}

/// How often a job runs and how it reports.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// Stay and run at this interval, e.g. `60s` [default: one run, then exit]
    #[arg(long, env = "RUN_EVERY", value_name = "DURATION", value_parser = duration)]
    pub every: Option<Duration>,
    /// Form of the run report on standard output
    #[arg(long, env = "RUN_OUTPUT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// Form of the run report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// One readable line a run.
    #[default]
    Text,
    /// One JSON object a run, on one line.
    Json,
    /// No report, for programs that embed a job.
    #[value(skip)]
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_address_is_refused_without_showing_it() {
        #[derive(Debug, clap::Parser)]
        struct Settings {
            #[command(flatten)]
            source: SourceArgs,
            #[command(flatten)]
            profiles: ProfilesArgs,
            #[command(flatten)]
            kafka: KafkaArgs,
        }
        let good = ["x", "--source", "sqlite:///s", "--profiles", "sqlite:///p", "--brokers", "b:1"];
        for bad in [
            ["--source", "mysql://etl:s3cret@db:port/x"],
            ["--profiles", "cassandra://etl:s3cret@h"],
            ["--kafka-config", "sasl.password:s3cret"],
        ] {
            let line = good.iter().filter(|word| !bad.contains(word)).chain(&bad);
            let error = <Settings as clap::Parser>::try_parse_from(line).unwrap_err().to_string();
            assert!(error.contains(bad[0]) && !error.contains("s3cret"), "{error}");
        }
    }
}
