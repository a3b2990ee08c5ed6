//! `pipeline-c`: events from Kafka to the lake, exactly once.

use std::process::ExitCode;

use common::command::{Asked, parse};
use common::run::{Clock, Exit, Shutdown};
use pipeline_c::{Command, Config};

fn main() -> ExitCode {
    pipeline_c::heap::bound();
    let runtime = tokio::runtime::Runtime::new().expect("the system has threads and sockets for a program");
    let code = runtime.block_on(asked());
    // What waits for a broker that does not answer is not waited for.
    runtime.shutdown_background();
    code
}

async fn asked() -> ExitCode {
    let line = parse::<Config, Command>();
    if let Err(error) = common::telemetry::init(&line.telemetry) {
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
    let clock = Clock::system();
    let exit = match line.asked {
        Asked::Run(config) => pipeline_c::run(&config, clock, &shutdown).await,
        Asked::Command(command) => command.run(&clock, &shutdown).await,
    };
    exit.into()
}
