//! The demo's program: settings, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use common::run::Shutdown;
use demo::DemoArgs;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = DemoArgs::parse();
    // Malformed events are part of the show; their samples in the log would hide it.
    common::telemetry::init_quiet(&args.telemetry)?;
    Box::pin(demo::run(&args, &Shutdown::on_signals()?)).await?;
    Ok(ExitCode::SUCCESS)
}
