//! Settings of pipeline A.

use clap::{Args, Parser, ValueEnum};
use common::settings::{IncrementArgs, MemoryArgs, ProfilesArgs, RecomputeArgs, RunArgs, SourceArgs};
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
    pub increment: IncrementArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub recompute: RecomputeArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub customers: CustomersArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub memory: MemoryArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub write: WriteArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub run: RunArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub telemetry: TelemetryArgs,
}

/// Customers whose profiles are recomputed besides those with new transactions.
#[derive(Debug, Clone, Default, Args)]
pub struct CustomersArgs {
    /// Recompute these customers too, e.g. `1,2,3`: a correction of old rows does not move an id
    #[arg(long, value_name = "ID,…", value_delimiter = ',', conflicts_with = "every")]
    pub customers: Vec<i32>,
    /// Rewrite the profiles whose customer row has changed too; compares all of them
    #[arg(long, env = "REFRESH_CUSTOMERS", value_parser = clap::builder::FalseyValueParser::new())]
    pub refresh_customers: bool,
}

/// How pipeline A writes. The defaults suit most clusters.
#[derive(Debug, Clone, Args)]
pub struct WriteArgs {
    /// Profiles written at a time, at most
    #[arg(long, env = "WRITE_PARALLELISM", value_name = "N", default_value_t = 128)]
    pub write_parallelism: u64,
    /// Profiles that are read back and compared after the write
    #[arg(long, env = "READ_BACK", value_enum, default_value_t)]
    pub read_back: ReadBack,
}

impl Default for WriteArgs {
    fn default() -> Self {
        Self { write_parallelism: 128, read_back: ReadBack::default() }
    }
}

/// Which written profiles are read back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ReadBack {
    /// Every one.
    All,
    /// A hundred, evenly spread.
    #[default]
    Sample,
    /// None.
    Off,
}
