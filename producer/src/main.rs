//! The `producer` program; the crate's documentation says what it does.

use std::process::ExitCode;

use clap::Parser;
use common::run::{Clock, Exit, Shutdown};
use producer::{Cli, Progress, run};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = common::telemetry::init(&cli.telemetry) {
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
    run(&cli.command, &Clock::system(), &shutdown, &Progress::on_stderr()).await.into()
}
