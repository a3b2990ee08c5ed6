//! The schemas that events are written with, as the registry knows them.

use apache_avro::Schema;
use common::avro::{CUSTOMER_EVENT_SCHEMA, Registry, RegistryError, SchemaId, frame, value_subject};
use common::retry::Backoff;

use crate::config::EventsConfig;
use crate::error::ProducerError;

/// A later version, as a careless team would register it: every field may be null. Readers of the first version
/// can read it while nothing is null.
pub(super) const NULLABLE_SCHEMA: &str = r#"{
  "type": "record",
  "name": "CustomerEvent",
  "namespace": "com.customer.events",
  "fields": [
    {"name": "event_id", "type": ["null", "string"], "default": null},
    {"name": "customer_id", "type": "int"},
    {"name": "event_type", "type": ["null", "string"], "default": null},
    {"name": "product_id", "type": ["null", "int"], "default": null},
    {"name": "event_timestamp", "type": "string"}
  ]
}"#;

/// A schema that the registry has.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) schema: Schema,
    /// What stands before each body: the frame with the id.
    pub(super) header: Vec<u8>,
}

impl Registered {
    /// `schema` is known as `id`.
    pub(super) fn new(id: SchemaId, schema: &str) -> Result<Self, apache_avro::Error> {
        Ok(Self { schema: Schema::parse_str(schema)?, header: frame(id, b"") })
    }
}

/// What is needed to write good events and malformed ones.
#[derive(Debug)]
pub(super) struct Schemas {
    /// The contract's schema.
    pub(super) event: Registered,
    /// The version with nullable fields; `None` where the registry refused it or nobody needs it.
    pub(super) nullable: Option<Registered>,
    /// An id that the registry does not have; only looked for where malformed records are asked for.
    pub(super) absent: SchemaId,
}

impl Schemas {
    /// Registers the schemas; waits up to a minute for a registry that does not answer.
    pub(super) async fn register(config: &EventsConfig) -> Result<Self, ProducerError> {
        let registry = Registry::open(&config.registry.registry)?;
        let subject = value_subject(&config.kafka.topic);
        let id = register(&registry, &subject, CUSTOMER_EVENT_SCHEMA).await?;
        let event = Registered::new(id, CUSTOMER_EVENT_SCHEMA)?;
        if config.invalid_ratio <= 0.0 {
            return Ok(Self { event, nullable: None, absent: SchemaId(u32::MAX) });
        }
        let nullable = match register(&registry, &subject, NULLABLE_SCHEMA).await {
            Ok(id) => Some(Registered::new(id, NULLABLE_SCHEMA)?),
            Err(refused @ RegistryError::Refused { .. }) => {
                tracing::warn!("no events with a null id or type: {refused}");
                None
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self { event, nullable, absent: absent_id(&registry).await? })
    }
}

/// The highest id that the registry does not have. Registries keep ids in signed integers.
async fn absent_id(registry: &Registry) -> Result<SchemaId, RegistryError> {
    let mut id = SchemaId(i32::MAX.unsigned_abs());
    let mut backoff = Backoff::default();
    loop {
        match registry.schema(id).await {
            Err(RegistryError::NotFound(_)) => return Ok(id),
            Err(error) => wait_out(error, &mut backoff).await?,
            Ok(_) => id.0 -= 1,
        }
    }
}

async fn register(registry: &Registry, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
    let mut backoff = Backoff::default();
    loop {
        match registry.register(subject, schema).await {
            Err(error) => wait_out(error, &mut backoff).await?,
            registered => return registered,
        }
    }
}

/// Waits before the next attempt; an error that will not pass, or has lasted a minute, comes back.
async fn wait_out(error: RegistryError, backoff: &mut Backoff) -> Result<(), RegistryError> {
    let wait = backoff.next_wait().filter(|_| error.retryable());
    let Some(wait) = wait else { return Err(error) };
    tracing::warn!("{error}; trying again");
    tokio::time::sleep(wait).await;
    Ok(())
}
