//! Settings of each subcommand.

use std::num::NonZeroU32;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use clap::builder::RangedI64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use common::run::Clock;
use common::settings::{KafkaArgs, RegistryArgs, SourceArgs};
use common::telemetry::TelemetryArgs;

use crate::error::ProducerError;
use crate::popularity::Spread;

/// Test data: source tables and Avro events.
#[derive(Debug, Parser)]
#[command(
    name = "producer",
    version,
    after_help = "Exit codes: 0 done, or stopped by a signal; 1 failed, safe to run again; 2 bad arguments."
)]
pub struct Cli {
    /// Logs and metrics.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    /// What to produce.
    #[command(subcommand)]
    pub command: Command,
}

/// What to produce.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Make the source tables and fill them; the same arguments give the same rows
    Seed(SeedConfig),
    /// Add transactions for yesterday and today (UTC)
    Append(AppendConfig),
    /// Send customer events to Kafka
    Events(EventsConfig),
}

/// Settings of `seed`.
#[derive(Debug, Clone, Args)]
pub struct SeedConfig {
    /// Where the tables are made.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Number of customers
    #[arg(long, env = "SEED_CUSTOMERS", value_name = "N", default_value_t = 5_000, value_parser = from_one())]
    pub customers: i32,
    /// Number of products
    #[arg(long, env = "SEED_PRODUCTS", value_name = "N", default_value_t = 500, value_parser = from_one())]
    pub products: i32,
    /// Number of transactions
    #[arg(long, env = "SEED_TRANSACTIONS", value_name = "N", default_value_t = 400_000)]
    pub transactions: u64,
    /// How often each customer buys and each product is bought
    #[arg(long, env = "SEED_POPULARITY", value_enum, default_value_t)]
    pub popularity: Spread,
    /// Date of the first transactions (UTC)
    #[arg(long, env = "SEED_FROM", value_name = "DATE", default_value = "2020-01-01")]
    pub from: NaiveDate,
    /// Date before which the last transactions are (UTC, exclusive) [default: today]
    #[arg(long, env = "SEED_TO", value_name = "DATE")]
    pub to: Option<NaiveDate>,
    /// Seed of the random numbers
    #[arg(long, env = "SEED_VALUE", value_name = "N", default_value_t = 42)]
    pub seed_value: u64,
    /// Drop the source tables, their offsets and every `etl_*` table first, so that the pipelines begin anew.
    /// Stop the pipelines before. Without it, tables that hold rows are left alone and the program fails
    #[arg(long)]
    pub replace: bool,
}

impl SeedConfig {
    /// The first moment of the transactions and the one behind the last.
    pub(crate) fn period(&self, clock: &Clock) -> Result<(DateTime<Utc>, DateTime<Utc>), ProducerError> {
        let to = self.to.unwrap_or_else(|| clock.now().date_naive());
        // MySQL's TIMESTAMP holds 1970-01-01 00:00:01 to 2038-01-19 03:14:07; 0 is its "zero date".
        let first = NaiveDate::from_ymd_opt(1970, 1, 2).expect("a date of the calendar");
        let last = NaiveDate::from_ymd_opt(2038, 1, 19).expect("a date of the calendar");
        if self.from >= to || self.from < first || to > last {
            let problem = format!(
                "--from {} must be before --to {to}, and both within {first} and {last} (MySQL's TIMESTAMP)",
                self.from
            );
            return Err(ProducerError::Settings(problem));
        }
        Ok((midnight(self.from), midnight(to)))
    }
}

/// Settings of `append`.
#[derive(Debug, Clone, Args)]
pub struct AppendConfig {
    /// Where the tables are.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Transactions for each of the two days
    #[arg(long, env = "APPEND_PER_DAY", value_name = "N", default_value_t = 100)]
    pub per_day: u32,
    /// How often each customer buys and each product is bought
    #[arg(long, env = "APPEND_POPULARITY", value_enum, default_value_t)]
    pub popularity: Spread,
}

/// Settings of `events`.
#[derive(Debug, Clone, Args)]
pub struct EventsConfig {
    /// Where the events go.
    #[command(flatten)]
    pub kafka: KafkaArgs,
    /// Where their schema is registered.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Number of events [default: until stopped]
    #[arg(long, env = "EVENTS_COUNT", value_name = "N")]
    pub count: Option<u64>,
    /// Events a second [default: as fast as it goes with --count, else 10]
    #[arg(long, env = "EVENTS_RATE", value_name = "N")]
    pub rate: Option<NonZeroU32>,
    /// Share of malformed records, 0 to 1, spread evenly over every kind
    #[arg(long, env = "EVENTS_INVALID_RATIO", value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub invalid_ratio: f64,
    /// Share of odd but acceptable events, 0 to 1: product negative or null, timestamp unparsable or empty
    #[arg(long, env = "EVENTS_ODD_RATIO", value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    pub odd_ratio: f64,
    /// What the record's key is
    #[arg(long, env = "EVENTS_KEY", value_enum, default_value_t)]
    pub key: KeyBy,
    /// Customer ids are 1 to N
    #[arg(long, env = "EVENTS_CUSTOMERS", value_name = "N", default_value_t = 5_000, value_parser = from_one())]
    pub customers: i32,
    /// Product ids are 1 to N
    #[arg(long, env = "EVENTS_PRODUCTS", value_name = "N", default_value_t = 500, value_parser = from_one())]
    pub products: i32,
    /// First event timestamp, RFC 3339 or a date (UTC); with --count events spread in time order [default: now]
    #[arg(long, env = "EVENTS_FROM", value_name = "TIME", value_parser = moment, requires = "count")]
    pub from: Option<DateTime<Utc>>,
    /// End of the event timestamps, exclusive, RFC 3339 or a date (UTC) [default: now]
    #[arg(long, env = "EVENTS_TO", value_name = "TIME", value_parser = moment, requires = "from")]
    pub to: Option<DateTime<Utc>>,
}

impl EventsConfig {
    /// What each clap rule says of one flag holds for all of them together, however the config was made.
    pub(crate) fn check(&self) -> Result<(), ProducerError> {
        let problem = if self.invalid_ratio + self.odd_ratio > 1.0 {
            "--invalid-ratio and --odd-ratio together exceed 1"
        } else if self.from.is_some() && self.count.is_none() {
            "--from spreads the events over a period, which needs --count"
        } else {
            return Ok(());
        };
        Err(ProducerError::Settings(problem.to_owned()))
    }

    /// Events a second; `None` is as fast as it goes.
    pub(crate) fn pace(&self) -> Option<NonZeroU32> {
        self.rate.or(if self.count.is_some() { None } else { NonZeroU32::new(10) })
    }
}

/// What the record's key is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum KeyBy {
    /// The event's id: spreads evenly.
    #[default]
    EventId,
    /// The customer's id: keeps a customer's events in order.
    CustomerId,
}

/// The first moment of a date, UTC.
pub(crate) fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(NaiveTime::MIN).and_utc()
}

/// The date before, or the same at the calendar's start.
pub(crate) fn day_before(date: NaiveDate) -> NaiveDate {
    date.checked_sub_days(Days::new(1)).unwrap_or(date)
}

fn from_one() -> RangedI64ValueParser<i32> {
    value_parser!(i32).range(1..)
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let date = text.parse::<NaiveDate>().map(midnight);
    let time = || DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    date.or_else(|_| time())
        .map_err(|_| "must be a date, 2025-12-31, or RFC 3339, 2025-12-31T23:59:59Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn seed(arguments: &[&str]) -> SeedConfig {
        let line = ["producer", "seed", "--source", "sqlite:///tmp/x.db"];
        match Cli::try_parse_from(line.iter().chain(arguments)).unwrap().command {
            Command::Seed(config) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_period_ends_today_unless_told() {
        let clock = Clock::fixed(moment("2025-12-12T10:00:00Z").unwrap());
        let (from, to) = seed(&[]).period(&clock).unwrap();
        assert_eq!(
            (from.to_rfc3339(), to.to_rfc3339()),
            ("2020-01-01T00:00:00+00:00".into(), "2025-12-12T00:00:00+00:00".into())
        );
    }

    #[test]
    fn a_period_that_is_empty_or_beyond_a_timestamp_is_refused() {
        let clock = Clock::fixed(moment("2025-12-12").unwrap());
        for wrong in [
            ["--from", "2025-12-12"],
            ["--to", "2019-01-01"],
            ["--from", "1970-01-01"],
            ["--to", "2039-01-01"],
        ] {
            assert!(matches!(seed(&wrong).period(&clock), Err(ProducerError::Settings(_))), "{wrong:?}");
        }
    }

    #[test]
    fn impossible_values_are_refused() {
        let line = ["producer", "events", "--brokers", "b:1", "--registry", "http://r"];
        for wrong in [
            vec!["--invalid-ratio", "1.5"],
            vec!["--odd-ratio", "NaN"],
            vec!["--customers", "0"],
            vec!["--rate", "0"],
            vec!["--from", "2025-01-01"],
            vec!["--to", "2025-01-01"],
        ] {
            assert!(Cli::try_parse_from(line.iter().chain(&wrong)).is_err(), "{wrong:?}");
        }
    }
}
