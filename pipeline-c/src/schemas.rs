//! Writer schemas by id, asked for once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::avro::{Registry, RegistryError, SchemaId};
use common::retry::Backoff;
use common::run::Stopwatch;

use crate::decode::WriterSchema;
use crate::transform::Writer;

/// How long a definite "no such schema" is believed; it may be registered later.
const UNKNOWN_FOR: Duration = Duration::from_mins(1);

/// Garbage that looks framed names random ids; they may not fill the memory.
const MOST_KNOWN: usize = 10_000;

/// Schemas that were asked for before. Shared by all partitions.
#[derive(Debug)]
pub struct Schemas {
    registry: Registry,
    known: Mutex<HashMap<SchemaId, (Arc<Writer>, Stopwatch)>>,
    outage_limit: Duration,
}

impl Schemas {
    /// `outage_limit`: how long [`Schemas::resolve`] waits for a registry that does not answer.
    #[must_use]
    pub fn new(registry: Registry, outage_limit: Duration) -> Self {
        Self { registry, known: Mutex::default(), outage_limit }
    }

    /// What is known about the schema without asking.
    #[must_use]
    pub fn known(&self, id: SchemaId) -> Option<Arc<Writer>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (writer, since) = known.get(&id)?;
        let stale = matches!(**writer, Writer::Unknown) && since.elapsed() > UNKNOWN_FOR;
        (!stale).then(|| Arc::clone(writer))
    }

    /// What the registry says about the schema. An outage is waited out: only a definite answer counts.
    pub async fn resolve(&self, id: SchemaId) -> Result<Arc<Writer>, RegistryError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5), self.outage_limit);
        let writer = loop {
            match self.registry.schema(id).await {
                Ok(text) => {
                    break WriterSchema::parse(&text).map_or_else(Writer::Unusable, Writer::Known);
                }
                Err(RegistryError::NotFound(_)) => break Writer::Unknown,
                Err(error) if error.retryable() => match backoff.next_wait() {
                    Some(wait) => {
                        metrics::counter!("tributary_registry_outages_total").increment(1);
                        tracing::warn!(schema = id.0, %error, "waiting for the schema registry");
                        tokio::time::sleep(wait).await;
                    }
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
        };
        match &writer {
            Writer::Known(_) => tracing::debug!(schema = id.0, "new writer schema"),
            Writer::Unusable(why) => {
                tracing::warn!(schema = id.0, %why, "no event can be read with this schema");
            }
            Writer::Unknown => tracing::warn!(schema = id.0, "the registry does not know this schema"),
        }
        let writer = Arc::new(writer);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.retain(|_, (writer, _)| matches!(**writer, Writer::Known(_)));
        }
        known.insert(id, (Arc::clone(&writer), Stopwatch::start()));
        Ok(writer)
    }
}
