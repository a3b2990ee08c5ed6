//! A command line whose default is to run the job: `pipeline-a …` runs, `pipeline-a verify …` does something else.

use clap::builder::Resettable;
use clap::{FromArgMatches, Parser, Subcommand};

use crate::telemetry::TelemetryArgs;

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked<R, C> {
    /// The job itself.
    Run(R),
    /// A subcommand.
    Command(C),
}

/// A command line.
#[derive(Debug)]
pub struct CommandLine<R, C> {
    /// Logs and metrics; they mean the same everywhere.
    pub telemetry: TelemetryArgs,
    /// What to do.
    pub asked: Asked<R, C>,
}

/// Parses the program's arguments and environment: the settings `R` of a run, unless there is a subcommand `C`.
/// Ends the program with a message where they are wrong, or help was asked for.
#[must_use]
pub fn parse<R: Parser, C: Subcommand>() -> CommandLine<R, C> {
    parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

fn parse_from<R: Parser, C: Subcommand>(
    arguments: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
) -> Result<CommandLine<R, C>, clap::Error> {
    let job = R::command();
    let (about, long_about) = (job.get_about().cloned(), job.get_long_about().cloned());
    // The subcommands would put their own description in the job's place.
    let mut command = C::augment_subcommands(job)
        .about(Resettable::from(about))
        .long_about(Resettable::from(long_about))
        .subcommand_required(false)
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true);
    let read = || {
        let matches = command.try_get_matches_from_mut(arguments)?;
        let asked = if matches.subcommand_name().is_some() {
            Asked::Command(C::from_arg_matches(&matches)?)
        } else {
            Asked::Run(R::from_arg_matches(&matches)?)
        };
        Ok(CommandLine { telemetry: TelemetryArgs::from_arg_matches(&matches)?, asked })
    };
    let result: Result<_, clap::Error> = read();
    result.map_err(|error| error.format(&mut command))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does the job
    #[derive(Debug, Parser)]
    struct Job {
        #[arg(long, env = "COMMAND_TEST_SOURCE")]
        source: String,
        #[command(flatten)]
        _telemetry: TelemetryArgs,
    }

    /// Anything else
    #[derive(Debug, Subcommand)]
    enum Tool {
        /// Checks
        Verify {
            #[arg(long)]
            sample: u32,
        },
    }

    fn asked(line: &str) -> Result<CommandLine<Job, Tool>, clap::Error> {
        parse_from(line.split(' '))
    }

    #[test]
    fn without_a_subcommand_the_job_runs() {
        let line = asked("x --source s --log-format json").unwrap();
        assert!(matches!(line.asked, Asked::Run(Job { source, .. }) if source == "s"));
        assert_eq!(line.telemetry.log_format, crate::telemetry::LogFormat::Json);
        assert_eq!(asked("x").unwrap_err().kind(), clap::error::ErrorKind::MissingRequiredArgument);
    }

    #[test]
    fn the_help_describes_the_job_and_names_the_subcommands() {
        let help = asked("x --help").unwrap_err().to_string();
        assert!(help.starts_with("Does the job\n") && help.contains("verify"), "{help}");
    }

    #[test]
    fn a_subcommand_does_not_need_the_jobs_settings() {
        let line = asked("x verify --sample 3 --log-format json").unwrap();
        assert!(matches!(line.asked, Asked::Command(Tool::Verify { sample: 3 })));
        assert_eq!(line.telemetry.log_format, crate::telemetry::LogFormat::Json);
        assert!(asked("x --source s verify --sample 3").is_err(), "the job's flags mean nothing there");
    }
}
