//! What the demo does, step by step.

use anyhow::bail;
use chrono::{Days, NaiveTime};
use common::lake::Lake;
use common::run::{Clock, Exit, RunReport, Shutdown, Stopwatch};
use common::settings::{IncrementArgs, MemoryArgs, RecomputeArgs};
use common::source::{Job, Source};
use producer::{AppendConfig, EventsConfig, KeyBy, Progress, SeedConfig, Spread};

use crate::config::DemoArgs;
use crate::parts::{Parts, TOPIC};
use crate::say::step;

/// Transactions reach this far back.
const SHOP_DAYS: u64 = 90;
/// Events reach this far back.
const EVENT_DAYS: u64 = 7;
/// Share of events that are malformed, of every kind.
const INVALID_RATIO: f64 = 0.01;
/// New transactions for yesterday and for today, a round.
const APPENDED_PER_DAY: u32 = 50;
/// New events, a round.
const MORE_EVENTS: u64 = 200;

/// Makes the shop and the events of its past.
pub async fn fill(parts: &Parts, args: &DemoArgs, clock: &Clock, shutdown: &Shutdown) -> anyhow::Result<()> {
    let today = clock.now().date_naive();
    let watch = Stopwatch::start();
    let seed = SeedConfig {
        source: parts.source.clone(),
        customers: args.customers,
        products: args.products,
        transactions: args.transactions,
        popularity: Spread::default(),
        from: today.checked_sub_days(Days::new(SHOP_DAYS)).unwrap_or(today),
        to: Some(today),
        seed_value: 42,
        replace: false,
    };
    producer::seed(&seed, clock, shutdown, &Progress::on_stderr()).await?;
    let rows = (args.customers, args.products, args.transactions);
    step(
        "producer seed",
        &format!("{} customers, {} products, {} transactions", rows.0, rows.1, rows.2),
        &watch,
    );

    let watch = Stopwatch::start();
    let from =
        today.checked_sub_days(Days::new(EVENT_DAYS)).unwrap_or(today).and_time(NaiveTime::MIN).and_utc();
    let past = EventsConfig { from: Some(from), to: Some(clock.now()), ..events(parts, args.events, args) };
    let sent = producer::events(&past, clock, shutdown, &Progress::on_stderr()).await?;
    if sent.failed > 0 {
        bail!("{} events did not reach the mock broker", sent.failed);
    }
    step("producer events", &format!("{} events, one in a hundred malformed", sent.delivered), &watch);
    Ok(())
}

fn events(parts: &Parts, count: u64, args: &DemoArgs) -> EventsConfig {
    EventsConfig {
        kafka: parts.kafka.clone(),
        registry: parts.registry.clone(),
        count: Some(count),
        rate: None,
        invalid_ratio: INVALID_RATIO,
        odd_ratio: INVALID_RATIO,
        key: KeyBy::EventId,
        customers: args.customers,
        products: args.products,
        from: None,
        to: None,
    }
}

/// Yesterday's and today's new transactions and some events of now; says what was made.
pub async fn produce_more(
    parts: &Parts,
    args: &DemoArgs,
    clock: &Clock,
    shutdown: &Shutdown,
) -> anyhow::Result<String> {
    let append = AppendConfig {
        source: parts.source.clone(),
        per_day: APPENDED_PER_DAY,
        popularity: Spread::default(),
    };
    producer::append(&append, clock, shutdown).await?;
    let more = events(parts, MORE_EVENTS, args);
    let sent = producer::events(&more, clock, shutdown, &Progress::Hidden).await?;
    Ok(format!("{} transactions and {} events more", 2 * APPENDED_PER_DAY, sent.delivered))
}

/// The three pipelines, set up for the embedded parts.
pub struct Pipelines {
    a: pipeline_a::Config,
    b: pipeline_b::Config,
    c: pipeline_c::Config,
}

impl Pipelines {
    /// Each with its defaults.
    #[must_use]
    pub fn new(parts: &Parts) -> Self {
        Self {
            a: pipeline_a::Config {
                source: parts.source.clone(),
                profiles: parts.profiles.clone(),
                increment: IncrementArgs::default(),
                recompute: RecomputeArgs::default(),
                customers: pipeline_a::CustomersArgs::default(),
                memory: MemoryArgs::default(),
                write: pipeline_a::WriteArgs::default(),
                run: Parts::once(),
                telemetry: common::telemetry::TelemetryArgs::default(),
            },
            b: pipeline_b::Config {
                source: parts.source.clone(),
                lake: parts.lake.clone(),
                increment: IncrementArgs::default(),
                recompute: RecomputeArgs::default(),
                dates: None,
                memory: MemoryArgs::default(),
                summary: pipeline_b::SummaryArgs::default(),
                run: Parts::once(),
                telemetry: common::telemetry::TelemetryArgs::default(),
            },
            c: pipeline_c::Config::embedded(
                parts.kafka.clone(),
                parts.registry.clone(),
                parts.lake.clone(),
                Parts::once(),
            ),
        }
    }

    /// Runs A, B and C once each, in turn, and returns their reports.
    pub async fn round(&self, clock: &Clock, shutdown: &Shutdown) -> anyhow::Result<Vec<RunReport>> {
        let mut reports = Vec::new();
        let source = Source::open(&self.a.source.source).await?;
        let lake = Lake::open(&self.c.lake.lake).await?;
        check("pipeline-a", pipeline_a::run(&self.a, clock, shutdown).await)?;
        reports.extend(source.history(Job::Profiles, 1).await?);
        check("pipeline-b", pipeline_b::run(&self.b, clock, shutdown).await)?;
        reports.extend(source.history(Job::Summaries, 1).await?);
        check("pipeline-c", pipeline_c::run(&self.c, clock.clone(), shutdown).await)?;
        reports.extend(pipeline_c::newest_reports(&lake, TOPIC, 1).await?);
        Ok(reports)
    }
}

fn check(job: &str, exit: Exit) -> anyhow::Result<()> {
    if exit == Exit::Done {
        Ok(())
    } else {
        bail!("{job} ended with exit code {}; see the log above", exit as u8)
    }
}
