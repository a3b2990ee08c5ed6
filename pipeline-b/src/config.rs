//! Settings of pipeline B.

use std::time::Duration;

use clap::{Args, Parser};
use common::settings::{LakeArgs, RunArgs, SourceArgs};
use common::telemetry::TelemetryArgs;

/// Daily summaries: reads new transactions from MySQL, recomputes the summaries of the days they belong to and
/// replaces one Parquet file a day in the lake.
///
/// Exit codes: 0 done, 1 failed (safe to run again), 2 bad settings, 3 refused by a quality gate, 4 another run
/// holds the lock.
#[derive(Debug, Clone, Parser)]
#[command(name = "pipeline-b", version, max_term_width = 100)]
pub struct Config {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub source: SourceArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub lake: LakeArgs,
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

/// How pipeline B reads, checks and writes. The defaults suit most sources.
#[derive(Debug, Clone, Args)]
pub struct Tuning {
    /// Range partitions of a read at most; about 10,000 ids make one
    #[arg(long, env = "READ_PARTITIONS", value_name = "N", default_value_t = 64)]
    pub read_partitions: u64,
    /// Connections that read side by side
    #[arg(long, env = "READ_CONNECTIONS", value_name = "N", default_value_t = 2)]
    pub read_connections: usize,
    /// Memory for transactions that are being summed up, in MiB; more days than fit are worked through in turn
    #[arg(long, env = "MAX_MEMORY", value_name = "MIB", default_value_t = 256)]
    pub max_memory: u64,
    /// Reject a transaction whose amount is not qty × price, instead of counting a warning
    #[arg(long, env = "STRICT_AMOUNTS")]
    pub strict_amounts: bool,
    /// Share of new transactions, 0 to 1, that may be rejected; more of at least 100 refuse the batch (exit 3)
    #[arg(long, env = "MAX_QUARANTINE_RATIO", value_name = "RATIO", default_value_t = 0.05)]
    pub max_quarantine_ratio: f64,
    /// Give up missing ids after this long where running transactions cannot be asked for (no PROCESS privilege)
    #[arg(long, env = "GAP_GRACE", value_name = "DURATION", default_value = "10min", value_parser = humantime::parse_duration)]
    pub gap_grace: Duration,
    /// A run that stops without ending holds its lock this long
    #[arg(long, env = "LEASE_TTL", value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub lease_ttl: Duration,
}

impl Default for Tuning {
    /// The defaults of the command line.
    fn default() -> Self {
        #[derive(Parser)]
        struct Defaults {
            #[command(flatten)]
            tuning: Tuning,
        }
        Defaults::parse_from(["pipeline-b"]).tuning
    }
}
