//! `pipeline-c`: events from Kafka to the lake, exactly once.

use std::process::ExitCode;

use clap::Parser;
use common::run::{Clock, Exit, Shutdown};
use pipeline_c::Config;

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    if let Err(error) = common::telemetry::init(&config.telemetry) {
        eprintln!("{error}");
        return Exit::Usage.into();
    }
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            eprintln!("cannot listen for signals: {error}");
            return Exit::Failed.into();
        }
    };
    pipeline_c::run(&config, Clock::system(), &shutdown).await.into()
}
