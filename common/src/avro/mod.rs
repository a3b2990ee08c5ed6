//! Events as they travel: Avro in Confluent framing, schemas by id from a registry.

mod framing;
mod registry;

use serde::{Deserialize, Serialize};

pub use framing::{NotFramed, frame, unframe};
pub use registry::{Registry, RegistryError, SchemaId, http_client};

/// The reader schema of the events topic. Any writer schema that Avro resolves to it is accepted.
pub const CUSTOMER_EVENT_SCHEMA: &str = r#"{
  "type": "record",
  "name": "CustomerEvent",
  "namespace": "com.customer.events",
  "fields": [
    {"name": "event_id", "type": "string"},
    {"name": "customer_id", "type": "int"},
    {"name": "event_type", "type": "string"},
    {"name": "product_id", "type": ["null", "int"], "default": null},
    {"name": "event_timestamp", "type": "string"}
  ]
}"#;

/// A customer's action in the shop, as the topic carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerEvent {
    /// Unique id, a UUID.
    pub event_id: String,
    /// Who acted.
    pub customer_id: i32,
    /// `WISHLIST`, `LIKE`, `CART_ADD` and others.
    pub event_type: String,
    /// The product acted on, if any.
    pub product_id: Option<i32>,
    /// ISO 8601, assigned when the event was made.
    pub event_timestamp: String,
}

/// The subject under which the schema of `topic`'s values is registered.
#[must_use]
pub fn value_subject(topic: &str) -> String {
    format!("{topic}-value")
}
