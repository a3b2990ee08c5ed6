//! Pipeline A's program: settings, logs, run, exit code.

use std::process::ExitCode;

use common::command::{Asked, CommandLine};
use common::run::{Clock, Exit, Shutdown};
use common::telemetry;
use pipeline_a::{Command, Config};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let CommandLine { telemetry, asked } = common::command::parse::<Config, Command>();
    let logs = match &asked {
        Asked::Run(_) => telemetry::init(&telemetry),
        Asked::Command(_) => telemetry::init_quiet(&telemetry),
    };
    if let Err(error) = logs {
        eprintln!("pipeline-a: {error}");
        return Ok(Exit::Usage.into());
    }
    let shutdown = Shutdown::on_signals()?;
    let clock = Clock::system();
    let exit = match asked {
        Asked::Run(config) => pipeline_a::run(&config, &clock, &shutdown).await,
        Asked::Command(command) => command.run(&clock, &shutdown).await,
    };
    Ok(exit.into())
}
