//! `api`: HTTP over profiles, summaries and events.

use std::process::ExitCode;

use api::ApiArgs;
use clap::Parser;
use common::run::{Exit, JobError, Shutdown};
use common::telemetry;

#[derive(Parser)]
#[command(name = "api", version, about)]
struct Cli {
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    telemetry: telemetry::TelemetryArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = telemetry::init(&cli.telemetry) {
        tracing::error!("{error}");
        return Exit::Usage.into();
    }
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            tracing::error!("cannot listen for signals: {error}");
            return Exit::Failed.into();
        }
    };
    match api::serve(&cli.api, &shutdown).await {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            tracing::error!("{error}");
            error.exit().into()
        }
    }
}
