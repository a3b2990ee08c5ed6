//! What pipeline A does besides running.

use clap::{Args, Subcommand};
use common::quarantine::{QuarantineCommand, list, retry, show};
use common::run::{Clock, Exit, Shutdown};
use common::settings::{
    IncrementArgs, MemoryArgs, OutputFormat, ProfilesArgs, RecomputeArgs, RunArgs, SourceArgs,
};
use common::source::Job;
use common::telemetry::TelemetryArgs;

use crate::config::{Config, CustomersArgs, WriteArgs};
use crate::verify::{VerifyArgs, verify};

/// A subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compare every profile and the quarantine with a recomputation from the source, and list what differs
    ///
    /// Exit codes: 0 nothing differs, 1 failed or stopped by a signal, 2 bad settings, 3 something differs, 4 a run
    /// holds the lock for longer than 30 s.
    Verify(VerifyArgs),
    /// Look into the quarantine
    #[command(subcommand)]
    Quarantine(QuarantineCommand<RetryArgs>),
}

/// Settings of `pipeline-a quarantine retry`: a run's.
#[derive(Debug, Clone, Args)]
pub struct RetryArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub source: SourceArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub profiles: ProfilesArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub increment: IncrementArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub memory: MemoryArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub write: WriteArgs,
    /// Form of the outcome on standard output
    #[arg(long, env = "RUN_OUTPUT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

impl Command {
    /// Does it, and prints the outcome.
    pub async fn run(self, clock: &Clock, shutdown: &Shutdown) -> Exit {
        match self {
            Self::Verify(args) => verify(&args, shutdown).await,
            Self::Quarantine(QuarantineCommand::List(args)) => list(Job::Profiles, &args, shutdown).await,
            Self::Quarantine(QuarantineCommand::Show(args)) => show(Job::Profiles, &args, shutdown).await,
            Self::Quarantine(QuarantineCommand::Retry(args)) => {
                let (source, output) = (args.source.clone(), args.output);
                let config = args.config();
                let run = async || crate::run(&config, clock, shutdown).await;
                retry(Job::Profiles, (&source, output), shutdown, run).await
            }
        }
    }
}

impl RetryArgs {
    /// One run, whose report is not printed.
    fn config(self) -> Config {
        Config {
            source: self.source,
            profiles: self.profiles,
            increment: self.increment,
            recompute: RecomputeArgs::default(),
            customers: CustomersArgs::default(),
            memory: self.memory,
            write: self.write,
            run: RunArgs { every: None, output: OutputFormat::None },
            telemetry: TelemetryArgs::default(),
        }
    }
}
