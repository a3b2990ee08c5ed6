#![doc = include_str!("../README.md")]

mod config;
mod error;
mod events;
mod popularity;
mod progress;
mod shop;

use std::fmt::Display;

use common::run::{Clock, Exit, JobError, Shutdown};

pub use config::{AppendConfig, Cli, Command, EventsConfig, KeyBy, SeedConfig};
pub use error::ProducerError;
pub use events::{EventsSummary, Kind, events};
pub use popularity::Spread;
pub use progress::Progress;
pub use shop::{AppendSummary, SeedSummary, append, seed};

/// Runs a subcommand, prints its summary on standard output and says how the program ends.
pub async fn run(command: &Command, clock: &Clock, shutdown: &Shutdown, progress: &Progress) -> Exit {
    let done = match command {
        Command::Seed(config) => seed(config, clock, shutdown, progress).await.map(|summary| print(&summary)),
        Command::Append(config) => append(config, clock, shutdown).await.map(|summary| print(&summary)),
        Command::Events(config) => events(config, clock, shutdown, progress).await.map(|summary| {
            print(&summary);
            if summary.failed == 0 { Exit::Done } else { Exit::Failed }
        }),
    };
    done.unwrap_or_else(|error| {
        if error.interrupted() {
            tracing::info!("{error}");
        } else {
            tracing::error!("{error}");
        }
        error.exit()
    })
}

#[allow(clippy::print_stdout)] // the summary is the program's output
fn print(summary: &impl Display) -> Exit {
    println!("{summary}");
    Exit::Done
}
