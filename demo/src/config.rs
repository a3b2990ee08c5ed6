//! Settings of the demo.

use std::path::PathBuf;

use clap::Parser;
use common::telemetry::TelemetryArgs;

/// Runs the main job on embedded parts (SQLite, a Kafka mock, a directory): makes test data, runs pipelines A, B and
/// C, shows what they made and answers requests until Ctrl-C.
#[derive(Debug, Clone, Parser)]
#[command(name = "demo", version, max_term_width = 100)]
pub struct DemoArgs {
    /// End after the first round
    #[arg(long, env = "DEMO_EXIT", value_parser = clap::builder::FalseyValueParser::new())]
    pub exit: bool,
    /// Folder for the demo's files; what an earlier demo left in it is replaced
    /// [default: tributary-demo in the folder for temporary files]
    #[arg(long, env = "DEMO_FOLDER", value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Address of the API; port 0 takes a free one [default: 127.0.0.1:8080, or a free port where that is taken]
    #[arg(long, env = "API_LISTEN", value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Customers in the shop
    #[arg(long, env = "SEED_CUSTOMERS", value_name = "N", default_value_t = 5_000)]
    pub customers: i32,
    /// Products in the shop
    #[arg(long, env = "SEED_PRODUCTS", value_name = "N", default_value_t = 500)]
    pub products: i32,
    /// Transactions of the last 90 days
    #[arg(long, env = "SEED_TRANSACTIONS", value_name = "N", default_value_t = 200_000)]
    pub transactions: u64,
    /// Events of the last 7 days; one in a hundred is malformed
    #[arg(long, env = "EVENTS_COUNT", value_name = "N", default_value_t = 100_000)]
    pub events: u64,
    /// Logs and metrics.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}
