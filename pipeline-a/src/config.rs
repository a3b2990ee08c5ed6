//! Settings of pipeline A.

use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use common::settings::{ProfilesArgs, RunArgs, SourceArgs};
use common::telemetry::TelemetryArgs;

/// Customer profiles: reads new transactions from MySQL, recomputes the profiles of the customers they belong
/// to and writes them to Cassandra.
///
/// Exit codes: 0 done, 1 failed (safe to run again), 2 bad settings, 3 refused by a quality gate, 4 another run
/// holds the lock.
#[derive(Debug, Clone, Parser)]
#[command(name = "pipeline-a", version, max_term_width = 100)]
pub struct Config {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub source: SourceArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub profiles: ProfilesArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub tuning: Tuning,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub run: RunArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub telemetry: TelemetryArgs,
}

/// How pipeline A reads, checks and writes. The defaults suit most sources.
#[derive(Debug, Clone, Args)]
pub struct Tuning {
    /// Range partitions of a read at most; about 10,000 ids make one
    #[arg(long, env = "READ_PARTITIONS", value_name = "N", default_value_t = 64)]
    pub read_partitions: u64,
    /// Connections that read side by side
    #[arg(long, env = "READ_CONNECTIONS", value_name = "N", default_value_t = 2)]
    pub read_connections: usize,
    /// Profiles written at a time, at most
    #[arg(long, env = "WRITE_PARALLELISM", value_name = "N", default_value_t = 128)]
    pub write_parallelism: u64,
    /// Share of new transactions, 0 to 1, that may be rejected; more of at least 100 refuse the batch (exit 3)
    #[arg(long, env = "MAX_QUARANTINE_RATIO", value_name = "RATIO", default_value_t = 0.05)]
    pub max_quarantine_ratio: f64,
    /// Give up missing ids after this long where running transactions cannot be asked for (no PROCESS privilege)
    #[arg(long, env = "GAP_GRACE", value_name = "DURATION", default_value = "10min", value_parser = humantime::parse_duration)]
    pub gap_grace: Duration,
    /// A run that stops without ending holds its lock this long
    #[arg(long, env = "LEASE_TTL", value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub lease_ttl: Duration,
    /// Profiles that are read back and compared after the write
    #[arg(long, env = "READ_BACK", value_enum, default_value_t = ReadBack::Sample)]
    pub read_back: ReadBack,
}

impl Default for Tuning {
    /// The defaults of the command line.
    fn default() -> Self {
        #[derive(Parser)]
        struct Defaults {
            #[command(flatten)]
            tuning: Tuning,
        }
        Defaults::parse_from(["pipeline-a"]).tuning
    }
}

/// Which written profiles are read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReadBack {
    /// Every one.
    All,
    /// A hundred, evenly spread.
    Sample,
    /// None.
    Off,
}
