#![doc = include_str!("../README.md")]

mod config;
mod folder;
mod parts;
mod results;
mod say;
mod step;

pub use config::DemoArgs;

use std::time::Duration;

use anyhow::Context;
use api::Server;
use common::run::{Clock, Shutdown, Stopwatch};

use crate::folder::Folder;
use crate::parts::Parts;
use crate::say::say;
use crate::step::Pipelines;

/// Between two rounds, once the first is done.
const ROUND_EVERY: Duration = Duration::from_secs(5);

/// Runs the main job on embedded parts: one round, then, unless `--exit`, round after round until `shutdown`.
pub async fn run(args: &DemoArgs, shutdown: &Shutdown) -> anyhow::Result<()> {
    let watch = Stopwatch::start();
    let clock = Clock::system();
    let folder = Folder::take(args.folder.as_deref())?;
    say("Tributary demo: the retailer's pipelines on embedded parts, nothing to install");
    say(&format!("files go to {}", folder.path().display()));

    let parts = Parts::start(&folder, args)?;
    if shutdown.or(Box::pin(step::fill(&parts, args, &clock, shutdown))).await.transpose()?.is_none() {
        return Ok(());
    }
    let pipelines = Pipelines::new(&parts);
    let reports = Box::pin(pipelines.round(&clock, shutdown)).await?;
    if shutdown.requested() {
        return Ok(());
    }
    say::table(&reports);

    let server = Server::bind(&parts.api).await;
    let server = match server {
        Err(_) if args.listen.is_none() => Server::bind(&parts.api_on_free_port()).await,
        bound => bound,
    };
    let server = server.context("the API cannot start")?;
    let address = server.address();
    let serving = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { server.run(&shutdown).await }
    });
    results::show(&parts, address).await?;
    say(&format!("first round done in {:.1} s", watch.elapsed().as_secs_f64()));

    if !args.exit {
        results::invite(address);
        keep_going(&parts, args, &pipelines, &clock, shutdown).await?;
    }
    shutdown.request();
    serving.await.context("the API ended unexpectedly")?;
    Ok(())
}

/// New transactions and events, and the pipelines over them, every few seconds.
async fn keep_going(
    parts: &Parts,
    args: &DemoArgs,
    pipelines: &Pipelines,
    clock: &Clock,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    while shutdown.or(tokio::time::sleep(ROUND_EVERY)).await.is_some() {
        let produced = step::produce_more(parts, args, clock, shutdown).await?;
        let reports = Box::pin(pipelines.round(clock, shutdown)).await?;
        if !shutdown.requested() {
            say::round(&produced, &reports);
        }
    }
    say("stopped");
    Ok(())
}
