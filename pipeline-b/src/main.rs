//! Pipeline B's program: settings, logs, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use common::run::{Clock, Exit, Shutdown};
use pipeline_b::Config;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let config = Config::parse();
    if let Err(error) = common::telemetry::init(&config.telemetry) {
        eprintln!("pipeline-b: {error}");
        return Ok(Exit::Usage.into());
    }
    let shutdown = Shutdown::on_signals()?;
    Ok(pipeline_b::run(&config, &Clock::system(), &shutdown).await.into())
}
