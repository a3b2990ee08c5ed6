//! Judges a record: an event row, or a malformed row with its reason. Pure: no clock, no I/O.

use clap::ValueEnum;
use common::avro::{SchemaId, unframe};

use crate::decode::{Undecodable, WriterSchema, decode};
use crate::timestamp;

/// A Kafka record as it was consumed.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Offset in its partition.
    pub offset: i64,
    /// Kafka's timestamp, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Value; a tombstone has none.
    pub value: Option<&'a [u8]>,
}

/// A row of `events`, but for its ingestion timestamp.
#[allow(clippy::struct_field_names)] // the contract's columns
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Unique id, never blank.
    pub event_id: &'a str,
    /// Who acted.
    pub customer_id: i32,
    /// What happened, never blank.
    pub event_type: &'a str,
    /// The product acted on, never negative.
    pub product_id: Option<i32>,
    /// Microseconds since 1970.
    pub event_timestamp: i64,
    /// What had to be mended.
    pub warnings: Warnings,
}

/// What was mended in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Warnings {
    /// The Kafka record's timestamp stands for the event's.
    pub timestamp: Option<&'static str>,
    /// A negative product became null.
    pub product: Option<&'static str>,
}

/// Why a record is malformed; the codes are the contract's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Reason {
    /// Shorter than 5 bytes, or the first is not 0.
    NotFramed,
    /// The registry says, definitely, that it has no such schema.
    UnknownSchema,
    /// Avro fails, or bytes are left over.
    Undecodable,
    /// Null, empty or blank.
    MissingEventId,
    /// Null, empty or blank.
    MissingEventType,
}

impl Reason {
    /// The code in the column `reason`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotFramed => "not_framed",
            Self::UnknownSchema => "unknown_schema",
            Self::Undecodable => "undecodable",
            Self::MissingEventId => "missing_event_id",
            Self::MissingEventType => "missing_event_type",
        }
    }
}

/// Why a record is malformed, and what exactly is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The contract's reason.
    pub reason: Reason,
    /// For people.
    pub detail: String,
}

impl Malformed {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// What the registry says about a schema id.
#[derive(Debug)]
pub enum Writer {
    /// Events can be read with it.
    Known(WriterSchema),
    /// There is a schema, but no event can be read with it.
    Unusable(Undecodable),
    /// The registry has no such schema.
    Unknown,
}

/// The schema with which the record was written, and its body.
pub fn framed<'a>(record: &Record<'a>) -> Result<(SchemaId, &'a [u8]), Malformed> {
    let value =
        record.value.ok_or_else(|| Malformed::new(Reason::NotFramed, "the value is null (a tombstone)"))?;
    unframe(value).map_err(|error| Malformed::new(Reason::NotFramed, error.to_string()))
}

/// Judges the body of a framed record.
pub fn judge<'a>(
    id: SchemaId,
    body: &'a [u8],
    writer: &Writer,
    timestamp_ms: i64,
) -> Result<Event<'a>, Malformed> {
    let schema = match writer {
        Writer::Known(schema) => schema,
        Writer::Unusable(why) => {
            return Err(Malformed::new(Reason::Undecodable, format!("schema {}: {why}", id.0)));
        }
        Writer::Unknown => {
            return Err(Malformed::new(
                Reason::UnknownSchema,
                format!("the registry has no schema {}", id.0),
            ));
        }
    };
    let raw = decode(schema, body)
        .map_err(|why| Malformed::new(Reason::Undecodable, format!("schema {}: {why}", id.0)))?;
    let event_id = present(raw.event_id).map_err(|how| Malformed::new(Reason::MissingEventId, how))?;
    let event_type = present(raw.event_type).map_err(|how| Malformed::new(Reason::MissingEventType, how))?;
    let mut warnings = Warnings::default();
    let product_id = raw.product_id.filter(|id| *id >= 0);
    if product_id != raw.product_id {
        warnings.product = Some("negative_product_id");
    }
    let parsed = raw.event_timestamp.map(timestamp::parse);
    let event_timestamp = parsed.flatten().unwrap_or_else(|| {
        let absent = parsed.is_none();
        warnings.timestamp = Some(if absent { "missing_event_timestamp" } else { "invalid_event_timestamp" });
        timestamp_ms.saturating_mul(1_000)
    });
    Ok(Event { event_id, customer_id: raw.customer_id, event_type, product_id, event_timestamp, warnings })
}

fn present(text: Option<&str>) -> Result<&str, &'static str> {
    match text {
        None => Err("null or absent"),
        Some("") => Err("empty"),
        Some(text) if text.trim().is_empty() => Err("blank"),
        Some(text) => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apache_avro::types::Value;
    use common::avro::frame;

    const NULLABLE: &str = r#"{"type":"record","name":"E","fields":[
        {"name":"event_id","type":["null","string"]}, {"name":"customer_id","type":"int"},
        {"name":"event_type","type":["null","string"]}, {"name":"product_id","type":["null","int"]},
        {"name":"event_timestamp","type":["null","string"]}]}"#;

    fn body(id: Option<&str>, kind: Option<&str>, product: Option<i32>, at: Option<&str>) -> Vec<u8> {
        let schema = apache_avro::Schema::parse_str(NULLABLE).unwrap();
        let text = |text: Option<&str>| match text {
            None => Value::Union(0, Box::new(Value::Null)),
            Some(text) => Value::Union(1, Box::new(Value::String(text.into()))),
        };
        let product = product.map_or_else(
            || Value::Union(0, Box::new(Value::Null)),
            |id| Value::Union(1, Box::new(Value::Int(id))),
        );
        let record = Value::Record(vec![
            ("event_id".into(), text(id)),
            ("customer_id".into(), Value::Int(7)),
            ("event_type".into(), text(kind)),
            ("product_id".into(), product),
            ("event_timestamp".into(), text(at)),
        ]);
        apache_avro::to_avro_datum(&schema, record).unwrap()
    }

    fn judged(body: &[u8]) -> Result<Event<'_>, Malformed> {
        judge(SchemaId(3), body, &Writer::Known(WriterSchema::parse(NULLABLE).unwrap()), 1_000)
    }

    #[test]
    fn a_record_without_framing_is_malformed() {
        let record = |value| Record { offset: 0, timestamp_ms: 0, key: None, value };
        for value in [None, Some(b"".as_slice()), Some(b"\0\0\0\x01"), Some(b"{\"json\":true}")] {
            assert_eq!(framed(&record(value)).unwrap_err().reason, Reason::NotFramed, "{value:?}");
        }
        assert_eq!(framed(&record(Some(&frame(SchemaId(3), b"x")))), Ok((SchemaId(3), b"x".as_slice())));
    }

    #[test]
    fn each_defect_has_its_reason() {
        let at = Some("2026-01-02T03:04:05Z");
        let cases = [
            (body(None, Some("LIKE"), None, at), Reason::MissingEventId),
            (body(Some(""), Some("LIKE"), None, at), Reason::MissingEventId),
            (body(Some(" \t"), None, None, at), Reason::MissingEventId),
            (body(Some("e"), None, None, at), Reason::MissingEventType),
            (body(Some("e"), Some("  "), None, at), Reason::MissingEventType),
            (b"\x02".to_vec(), Reason::Undecodable),
            ([body(Some("e"), Some("LIKE"), None, at), b"x".to_vec()].concat(), Reason::Undecodable),
        ];
        for (body, reason) in cases {
            assert_eq!(judged(&body).unwrap_err().reason, reason, "{body:?}");
        }
        let good = body(Some("e"), Some("LIKE"), None, at);
        assert_eq!(judge(SchemaId(3), &good, &Writer::Unknown, 0).unwrap_err().reason, Reason::UnknownSchema);
        let unusable = Writer::Unusable(Undecodable::Missing("customer_id"));
        let malformed = judge(SchemaId(3), &good, &unusable, 0).unwrap_err();
        assert_eq!(malformed.reason, Reason::Undecodable);
        assert_eq!(malformed.detail, "schema 3: customer_id is missing and has no default");
    }

    #[test]
    fn a_bad_timestamp_and_a_negative_product_are_mended_with_a_warning() {
        let cases = [
            (Some("1970-01-01T00:00:02"), 2_000_000, None),
            (Some("yesterday"), 1_000_000, Some("invalid_event_timestamp")),
            (Some(""), 1_000_000, Some("invalid_event_timestamp")),
            (None, 1_000_000, Some("missing_event_timestamp")),
        ];
        for (text, micros, warning) in cases {
            let body = body(Some("e"), Some("LIKE"), Some(4), text);
            let event = judged(&body).unwrap();
            assert_eq!((event.event_timestamp, event.warnings.timestamp), (micros, warning), "{text:?}");
        }
        for (given, kept, warning) in
            [(Some(0), Some(0), None), (Some(-1), None, Some("negative_product_id")), (None, None, None)]
        {
            let body = body(Some("e"), Some("LIKE"), given, Some("1970-01-01T00:00:02"));
            let event = judged(&body).unwrap();
            assert_eq!((event.product_id, event.warnings.product), (kept, warning), "{given:?}");
        }
    }
}
