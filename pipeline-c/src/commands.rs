//! What the program does besides running the job.

use std::fmt::Display;
use std::io::Write;

use clap::{Args, Subcommand};
use common::lake::Lake;
use common::run::{Clock, Exit, JobError};
use common::settings::{LakeArgs, OutputFormat};
use serde::Serialize;

use crate::error::Error;
use crate::{compact, replay, status, verify};

/// Looks after what the job has written.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Shows how far each partition is, what is open, pending and behind
    Status(status::StatusArgs),
    /// Proves from Kafka's records that each is one row of the lake; ends with code 3 where one is not
    Verify(verify::VerifyArgs),
    /// Moves malformed records that can be read now, after a schema was registered late, to `events`
    ReplayMalformed(replay::ReplayArgs),
    /// Merges the files of past dates, one a partition and date
    Compact(compact::CompactArgs),
}

/// Form of a subcommand's report.
#[derive(Debug, Clone, Args)]
pub struct OutputArgs {
    /// Form of the report on standard output
    #[arg(long, env = "RUN_OUTPUT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// Where the files are, and which of them.
#[derive(Debug, Clone, Args)]
pub struct FilesArgs {
    /// The lake.
    #[command(flatten)]
    pub lake: LakeArgs,
    /// Topic of the events
    #[arg(long, env = "EVENTS_TOPIC", value_name = "NAME", default_value = "customer_events")]
    pub topic: String,
}

impl FilesArgs {
    /// Opens the lake.
    pub async fn open(&self) -> Result<Lake, Error> {
        Ok(Lake::open(&self.lake.lake).await?)
    }
}

impl Command {
    /// Does it, prints its report and tells how the program ends.
    pub async fn run(&self, clock: &Clock) -> Exit {
        let done = match self {
            Self::Status(args) => said(status::run(args, clock).await, args.output.output),
            Self::Verify(args) => said(verify::run(args).await, args.output.output),
            Self::ReplayMalformed(args) => said(replay::run(args, clock).await, args.output.output),
            Self::Compact(args) => said(compact::run(args, clock).await, args.output.output),
        };
        done.unwrap_or_else(|error| {
            tracing::error!("{error}");
            error.exit()
        })
    }
}

/// What a subcommand found or did.
pub trait Outcome: Display + Serialize {
    /// How the program ends with it.
    fn exit(&self) -> Exit {
        Exit::Done
    }
}

fn said(outcome: Result<impl Outcome, Error>, output: OutputFormat) -> Result<Exit, Error> {
    let outcome = outcome?;
    let text = match output {
        OutputFormat::Text => outcome.to_string(),
        OutputFormat::Json => serde_json::to_string(&outcome).expect("a report has only string keys"),
        OutputFormat::None => return Ok(outcome.exit()),
    };
    // Whoever asked may have gone.
    let _ = writeln!(std::io::stdout(), "{text}");
    Ok(outcome.exit())
}
