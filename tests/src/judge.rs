//! What pipeline C should have made of a topic: the contract once more, with none of its code.

use std::collections::{BTreeMap, HashMap};

use apache_avro::types::Value;
use apache_avro::{Schema, from_avro_datum, to_avro_datum};
use chrono::DateTime;

use crate::topic::Record;
use crate::{http, services};

/// A row of `events`, with the partition that its file's name says. Times are in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the contract's columns
pub struct Event {
    pub event_id: String,
    pub partition: i32,
    pub customer_id: i32,
    pub event_type: String,
    pub product_id: Option<i32>,
    pub event_timestamp: i64,
    /// From the folder.
    pub event_date: String,
}

/// A row of `events_malformed`, without its key. Times are in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the contract's columns
pub struct Malformed {
    pub topic: String,
    pub kafka_timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub reason: String,
}

/// What stands, or should stand, in both outputs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// How often each row of `events` is there: a record that was sent twice is two rows.
    pub events: BTreeMap<Event, u64>,
    /// Rows of `events_malformed` by partition and offset.
    pub malformed: BTreeMap<(i32, i64), Malformed>,
}

impl Outputs {
    /// Rows of both.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.events.values().sum::<u64>() + u64::try_from(self.malformed.len()).unwrap()
    }
}

/// Judges every record.
pub async fn judge(topic: &str, records: &[Record]) -> Outputs {
    let (mut outputs, mut schemas) = (Outputs::default(), HashMap::new());
    for record in records {
        if let Some(id) = schema_id(record)
            && !schemas.contains_key(&id)
        {
            schemas.insert(id, schema(id).await);
        }
        match event(record, &schemas) {
            Ok(event) => *outputs.events.entry(event).or_default() += 1,
            Err(reason) => {
                let row = Malformed {
                    topic: topic.to_owned(),
                    kafka_timestamp: record.timestamp_ms * 1_000,
                    key: record.key.clone(),
                    value: record.value.clone().unwrap_or_default(),
                    reason: reason.to_owned(),
                };
                outputs.malformed.insert((record.partition, record.offset), row);
            }
        }
    }
    outputs
}

fn event(record: &Record, schemas: &HashMap<u32, Option<Schema>>) -> Result<Event, &'static str> {
    let id = schema_id(record).ok_or("not_framed")?;
    let schema = schemas[&id].as_ref().ok_or("unknown_schema")?;
    let body = &record.value.as_deref().unwrap_or_default()[5..];
    let fields = fields(schema, body).ok_or("undecodable")?;
    let text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    };
    let int = |name: &str| match fields.get(name) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    };
    let customer_id = int("customer_id").ok_or("undecodable")?;
    if text("event_id").trim().is_empty() {
        return Err("missing_event_id");
    }
    if text("event_type").trim().is_empty() {
        return Err("missing_event_type");
    }
    let event_timestamp = DateTime::parse_from_rfc3339(&text("event_timestamp"))
        .map_or(record.timestamp_ms * 1_000, |at| at.timestamp_micros());
    Ok(Event {
        event_id: text("event_id"),
        partition: record.partition,
        customer_id,
        event_type: text("event_type"),
        product_id: int("product_id").filter(|id| *id >= 0),
        event_timestamp,
        event_date: date(event_timestamp),
    })
}

/// The UTC date of a time in microseconds.
#[must_use]
pub fn date(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).unwrap().date_naive().to_string()
}

fn schema_id(record: &Record) -> Option<u32> {
    match record.value.as_deref() {
        Some([0, a, b, c, d, ..]) => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

/// A body that was cut off decodes all the same, as if there were a null, so what counts is that the fields' own
/// encoding is the body.
fn fields(schema: &Schema, body: &[u8]) -> Option<HashMap<String, Value>> {
    let decoded = from_avro_datum(schema, &mut &*body, None).ok()?;
    if to_avro_datum(schema, decoded.clone()).ok()? != body {
        return None;
    }
    let Value::Record(fields) = decoded else { return None };
    let inner = |value| if let Value::Union(_, inner) = value { *inner } else { value };
    Some(fields.into_iter().map(|(name, value)| (name, inner(value))).collect())
}

/// What the registry knows by this id.
async fn schema(id: u32) -> Option<Schema> {
    let registry = services::registry();
    let (address, base) = registry.trim_start_matches("http://").split_once('/').unwrap();
    let answer = http::get(address, &format!("/{base}/schemas/ids/{id}")).await;
    (answer.status == 200).then(|| Schema::parse_str(answer.json()["schema"].as_str().unwrap()).unwrap())
}
