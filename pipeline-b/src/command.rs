//! What pipeline B does besides running.

use clap::Subcommand;
use common::run::{Exit, Shutdown};

use crate::verify::{VerifyArgs, verify};

/// A subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare every date's file and the quarantine with a recomputation from the source, and list what differs
    ///
    /// Exit codes: 0 nothing differs, 1 failed or stopped by a signal, 2 bad settings, 3 something differs, 4 a run
    /// holds the lock for longer than 30 s.
    Verify(VerifyArgs),
}

impl Command {
    /// Does it, and prints the outcome.
    pub async fn run(&self, shutdown: &Shutdown) -> Exit {
        match self {
            Self::Verify(args) => verify(args, shutdown).await,
        }
    }
}
