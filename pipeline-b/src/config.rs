//! Settings of pipeline B.

use clap::{Args, Parser};
use common::settings::{ByteSize, IncrementArgs, LakeArgs, RunArgs, SourceArgs};
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
    pub increment: IncrementArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub summary: SummaryArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub run: RunArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub telemetry: TelemetryArgs,
}

/// How pipeline B sums up days.
#[derive(Debug, Clone, Args)]
pub struct SummaryArgs {
    /// Memory for transactions that are being summed up, in bytes (`256MiB`); more days than fit are worked
    /// through in turn
    #[arg(long, env = "MAX_MEMORY", value_name = "SIZE", default_value = "256MiB")]
    pub max_memory: ByteSize,
    /// Reject a transaction whose amount is not qty × price, instead of counting a warning
    #[arg(long, env = "STRICT_AMOUNTS", value_parser = clap::builder::FalseyValueParser::new())]
    pub strict_amounts: bool,
}

impl Default for SummaryArgs {
    fn default() -> Self {
        Self { max_memory: ByteSize::mib(256), strict_amounts: false }
    }
}
