//! `pipeline-c`: events from Kafka to the lake, exactly once.

use std::process::ExitCode;

use common::command::{Asked, parse};
use common::run::{Clock, Exit, Shutdown};
use pipeline_c::{Command, Config};

#[tokio::main]
async fn main() -> ExitCode {
    let line = parse::<Config, Command>();
    if let Err(error) = common::telemetry::init(&line.telemetry) {
        eprintln!("{error}");
        return Exit::Usage.into();
    }
    let config = match line.asked {
        Asked::Run(config) => config,
        Asked::Command(command) => return command.run(&Clock::system()).await.into(),
    };
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            eprintln!("cannot listen for signals: {error}");
            return Exit::Failed.into();
        }
    };
    pipeline_c::run(&config, Clock::system(), &shutdown).await.into()
}
