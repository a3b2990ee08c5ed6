//! What the program does besides running the job.

use std::fmt::{self, Display};
use std::io::Write;

use clap::{Args, Subcommand};
use common::lake::{Lake, LakeError};
use common::run::{Clock, Exit, JobError, Shutdown};
use common::settings::{LakeArgs, OutputFormat};
use serde::Serialize;

use crate::error::Error;
use crate::inventory::states;
use crate::place::Place;
use crate::{compact, overdue, replay, status, verify};

/// How often a partition is begun again because its owner has changed the files at hand.
const ATTEMPTS: u32 = 10;

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
    /// Does it, prints its report and tells how the program ends. After a signal: what only looks ends at once,
    /// what moves rows finishes the step that it is committing.
    pub async fn run(&self, clock: &Clock, shutdown: &Shutdown) -> Exit {
        let done = tokio::select! { done = self.done(clock, shutdown) => done, () = overdue(shutdown) => Ok(Exit::Done) };
        done.unwrap_or_else(|error| {
            tracing::error!("{error}");
            error.exit()
        })
    }

    async fn done(&self, clock: &Clock, shutdown: &Shutdown) -> Result<Exit, Error> {
        match self {
            Self::Status(args) => {
                looked(shutdown.or(Box::pin(status::run(args, clock))).await, args.output.output)
            }
            Self::Verify(args) => looked(shutdown.or(Box::pin(verify::run(args))).await, args.output.output),
            Self::ReplayMalformed(args) => said(replay::run(args, clock, shutdown).await, args.output.output),
            Self::Compact(args) => said(compact::run(args, clock, shutdown).await, args.output.output),
        }
    }
}

/// A partition to which something was to be done, and could not; the others are not held up by it.
#[derive(Debug, Serialize)]
pub struct Failed {
    /// Its number.
    pub partition: i32,
    /// Why.
    pub error: String,
}

impl Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "; partition {} is as it was: {}", self.partition, self.error)
    }
}

/// Does something to each partition beside its owner, until `shutdown`; returns those where it could not.
pub async fn each_partition(
    (lake, topic): (&Lake, &str),
    shutdown: &Shutdown,
    mut work: impl AsyncFnMut(&Place) -> Result<(), Error>,
) -> Result<Vec<Failed>, Error> {
    let mut failed = Vec::new();
    for (place, state) in states(lake, topic).await? {
        if shutdown.requested() {
            break;
        }
        let done = match state {
            Ok(_) => while_others_write(async || work(&place).await).await,
            Err(error) => Err(error),
        };
        match done {
            Err(error) if holds_up_no_other(&error) => {
                failed.push(Failed { partition: place.partition.0, error: error.to_string() });
            }
            done => done?,
        }
    }
    Ok(failed)
}

/// Whether the other partitions can be looked after all the same.
fn holds_up_no_other(error: &Error) -> bool {
    error.is_of_one_partition()
        || matches!(
            error,
            Error::Fenced { .. }
                | Error::Rearranged { .. }
                | Error::Lake(LakeError::Changed(_) | LakeError::Damaged { .. })
        )
}

/// Begins again where the partition's owner was first.
async fn while_others_write<T>(mut work: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 1..ATTEMPTS {
        match work().await {
            Err(
                error
                @ (Error::Fenced { .. } | Error::Rearranged { .. } | Error::Lake(LakeError::Changed(_))),
            ) => {
                tracing::info!(%error, "beginning again");
            }
            done => return done,
        }
    }
    work().await
}

/// What a subcommand found or did.
pub trait Outcome: Display + Serialize {
    /// How the program ends with it.
    fn exit(&self) -> Exit {
        Exit::Done
    }
}

/// `None`: a signal came first.
fn looked(outcome: Option<Result<impl Outcome, Error>>, output: OutputFormat) -> Result<Exit, Error> {
    outcome.map_or(Ok(Exit::Done), |outcome| said(outcome, output))
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
