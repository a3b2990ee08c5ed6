//! Customer events: made, some of them spoilt on purpose, and sent to Kafka.

mod kind;
mod make;
mod schemas;
mod send;
mod spoil;
mod summary;
mod timeline;

use common::run::{Clock, Shutdown};

pub use kind::Kind;
pub use summary::EventsSummary;

use crate::config::EventsConfig;
use crate::error::ProducerError;
use crate::progress::Progress;
use make::Maker;
use schemas::Schemas;
use send::Sender;

/// Registers the schema and sends events until their number is reached or a shutdown is asked for; then waits
/// until all are delivered.
///
/// Deliveries that fail for good are counted in the summary, not an error. On shutdown the wait for
/// deliveries is limited to some seconds; what is not delivered by then counts as failed.
pub async fn events(
    config: &EventsConfig,
    clock: &Clock,
    shutdown: &Shutdown,
    progress: &Progress,
) -> Result<EventsSummary, ProducerError> {
    config.check()?;
    let registered = shutdown.or(Schemas::register(config)).await;
    let schemas = registered.unwrap_or(Err(ProducerError::Interrupted("no event was sent")))?;
    let mut maker = Maker::new(config, clock, schemas);
    let (config, shutdown, progress) = (config.clone(), shutdown.clone(), *progress);
    // librdkafka's calls block.
    let sending = tokio::task::spawn_blocking(move || {
        let mut sender = Sender::connect(&config.kafka)?;
        let sent = sender.send_all(&mut maker, config.count, config.pace(), &shutdown, progress);
        let summary = sender.finish(&shutdown);
        sent.map(|()| summary)
    });
    sending.await.expect("sending does not panic and is never aborted")
}
