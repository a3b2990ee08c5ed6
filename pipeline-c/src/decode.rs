//! Avro bodies to the fields of an event, by the schema they were written with.

use std::io::{self, Read};

use apache_avro::Schema;
use apache_avro::types::Value;

/// Longest string or array that a record may claim to hold. Brokers take records of 1 MB unless told otherwise.
const LONGEST_ITEM_BYTES: usize = 32 * 1024 * 1024;

/// A schema that events were written with.
#[derive(Debug)]
pub struct WriterSchema(Schema);

/// What an event's record says, before it is judged. A field that is null or absent is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// Unique id.
    pub event_id: Option<String>,
    /// Who acted; the one field without which there is no event.
    pub customer_id: i32,
    /// What happened.
    pub event_type: Option<String>,
    /// The product acted on.
    pub product_id: Option<i32>,
    /// ISO 8601.
    pub event_timestamp: Option<String>,
}

/// A schema or a body cannot be read as an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// The registry's text is not a schema.
    #[error("the writer's schema cannot be read: {0}")]
    Schema(String),
    /// Only records have fields.
    #[error("the writer's schema is {0}, not a record")]
    NotARecord(String),
    /// The body is not what the schema says.
    #[error("the body does not match its schema: {0}")]
    Body(String),
    /// The body is cut off.
    #[error("the body ends before its schema does")]
    Truncated,
    /// Something follows the record.
    #[error("{0} bytes are left over after the record")]
    LeftOver(usize),
    /// The field's type does not resolve to the reader's.
    #[error("{field} is {found}, which does not resolve to {wanted}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// The writer's type.
        found: &'static str,
        /// The reader's type.
        wanted: &'static str,
    },
    /// The writer's schema lacks a field that has no default.
    #[error("{0} is missing and has no default")]
    Missing(&'static str),
}

impl WriterSchema {
    /// Reads a schema as the registry gives it.
    pub fn parse(text: &str) -> Result<Self, Undecodable> {
        apache_avro::util::max_allocation_bytes(LONGEST_ITEM_BYTES);
        let unreadable = |reason: String| Undecodable::Schema(reason);
        let mut json = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        strip_logical_types(&mut json);
        match Schema::parse(&json).map_err(|error| unreadable(error.to_string()))? {
            record @ Schema::Record(_) => Ok(Self(record)),
            other => {
                Err(Undecodable::NotARecord(format!("{:?}", apache_avro::schema::SchemaKind::from(&other))))
            }
        }
    }
}

/// A string is a string whether or not it is a UUID: what counts is the type below.
fn strip_logical_types(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(map) => {
            map.remove("logicalType");
            map.values_mut().for_each(strip_logical_types);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(strip_logical_types),
        _ => {}
    }
}

/// Reads one event. The body must hold one record and nothing else.
pub fn decode(schema: &WriterSchema, body: &[u8]) -> Result<RawEvent, Undecodable> {
    let mut body = Body { rest: body, truncated: false };
    let value = apache_avro::from_avro_datum(&schema.0, &mut body, None);
    if body.truncated {
        return Err(Undecodable::Truncated);
    }
    let Value::Record(fields) = value.map_err(|error| Undecodable::Body(error.to_string()))? else {
        return Err(Undecodable::Body("not a record".to_owned()));
    };
    if !body.rest.is_empty() {
        return Err(Undecodable::LeftOver(body.rest.len()));
    }
    resolve(fields)
}

/// The writer's fields as the reader's, by Avro's rules; fields that the reader does not know are ignored.
///
/// `event_id`, `event_type` and `event_timestamp` may be null or absent here: they are judged later.
fn resolve(fields: Vec<(String, Value)>) -> Result<RawEvent, Undecodable> {
    let mut customer_id = None;
    let (mut event_id, mut event_type, mut product_id, mut event_timestamp) = (None, None, None, None);
    for (name, value) in fields {
        match name.as_str() {
            "event_id" => event_id = text("event_id", value)?,
            "customer_id" => customer_id = int("customer_id", value)?,
            "event_type" => event_type = text("event_type", value)?,
            "product_id" => product_id = int("product_id", value)?,
            "event_timestamp" => event_timestamp = text("event_timestamp", value)?,
            _ => {}
        }
    }
    let customer_id = customer_id.ok_or(Undecodable::Missing("customer_id"))?;
    Ok(RawEvent { event_id, customer_id, event_type, product_id, event_timestamp })
}

fn text(field: &'static str, value: Value) -> Result<Option<String>, Undecodable> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        // Avro promotes bytes to string.
        Value::Bytes(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| Undecodable::Field {
            field,
            found: "bytes that are not UTF-8",
            wanted: "string",
        }),
        Value::Union(_, inner) => text(field, *inner),
        other => Err(Undecodable::Field { field, found: kind(&other), wanted: "string" }),
    }
}

fn int(field: &'static str, value: Value) -> Result<Option<i32>, Undecodable> {
    match value {
        Value::Null => Ok(None),
        Value::Int(number) => Ok(Some(number)),
        Value::Union(_, inner) => int(field, *inner),
        other => Err(Undecodable::Field { field, found: kind(&other), wanted: "int" }),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Boolean(_) => "boolean",
        Value::Int(_) => "int",
        Value::Long(_) => "long",
        Value::Float(_) => "float",
        Value::Double(_) => "double",
        Value::Bytes(_) => "bytes",
        Value::String(_) => "string",
        Value::Fixed(..) => "fixed",
        Value::Enum(..) => "enum",
        Value::Array(_) => "array",
        Value::Map(_) => "map",
        Value::Record(_) => "record",
        _ => "another type",
    }
}

/// Remembers that more was wanted than there is: the decoder takes the end of the input for null.
struct Body<'a> {
    rest: &'a [u8],
    truncated: bool,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.truncated |= buffer.len() > self.rest.len();
        self.rest.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::avro::CUSTOMER_EVENT_SCHEMA;

    fn long(mut n: i64) -> Vec<u8> {
        n = (n << 1) ^ (n >> 63);
        let mut out = Vec::new();
        let mut rest = u64::from_ne_bytes(n.to_ne_bytes());
        while rest > 0x7f {
            out.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        out.push(u8::try_from(rest).unwrap());
        out
    }

    fn string(text: &str) -> Vec<u8> {
        [long(i64::try_from(text.len()).unwrap()), text.as_bytes().to_vec()].concat()
    }

    fn schema(fields: &str) -> WriterSchema {
        WriterSchema::parse(&format!(r#"{{"type":"record","name":"E","fields":[{fields}]}}"#)).unwrap()
    }

    fn event() -> RawEvent {
        RawEvent {
            event_id: Some("e".into()),
            customer_id: 7,
            event_type: Some("LIKE".into()),
            product_id: Some(-3),
            event_timestamp: Some("t".into()),
        }
    }

    const ID: &str = r#"{"name":"event_id","type":"string"}"#;
    const CUSTOMER: &str = r#"{"name":"customer_id","type":"int"}"#;

    #[test]
    fn the_contracts_schema_reads_and_every_cut_and_every_extra_byte_is_noticed() {
        let schema = WriterSchema::parse(CUSTOMER_EVENT_SCHEMA).unwrap();
        let body = [string("e"), long(7), string("LIKE"), long(1), long(-3), string("t")].concat();
        assert_eq!(decode(&schema, &body), Ok(event()));
        for cut in 0..body.len() {
            assert_eq!(decode(&schema, &body[..cut]), Err(Undecodable::Truncated), "cut at {cut}");
        }
        assert_eq!(decode(&schema, &[body.as_slice(), b"x"].concat()), Err(Undecodable::LeftOver(1)));
    }

    #[test]
    fn a_second_version_with_nullable_more_and_reordered_fields_reads() {
        let schema = schema(
            r#"{"name":"channel","type":{"type":"enum","name":"C","symbols":["WEB","APP"]}},
               {"name":"event_timestamp","type":["null","string"],"default":null},
               {"name":"event_type","type":["string","null"]},
               {"name":"tags","type":{"type":"map","values":{"type":"array","items":"long"}}},
               {"name":"customer_id","type":["int","null"]},
               {"name":"event_id","type":["null",{"type":"string","logicalType":"uuid"}]}"#,
        );
        let tags = [long(1), string("a"), long(2), long(1), long(2), long(0), long(0)].concat();
        let body = [
            long(1),
            long(1),
            string("t"),
            long(0),
            string("LIKE"),
            tags,
            long(0),
            long(7),
            long(1),
            string("e"),
        ]
        .concat();
        assert_eq!(decode(&schema, &body), Ok(RawEvent { product_id: None, ..event() }));
        let nulls = [long(0), long(0), long(1), long(0), long(0), long(7), long(0)].concat();
        let expected = RawEvent {
            event_id: None,
            customer_id: 7,
            event_type: None,
            product_id: None,
            event_timestamp: None,
        };
        assert_eq!(decode(&schema, &nulls), Ok(expected));
    }

    #[test]
    fn bytes_are_promoted_to_a_string_when_they_are_one() {
        let schema = schema(&format!(r#"{{"name":"event_id","type":"bytes"}},{CUSTOMER}"#));
        let read = decode(&schema, &[string("e"), long(7)].concat()).unwrap();
        assert_eq!(read.event_id.as_deref(), Some("e"));
        assert!(decode(&schema, &[long(1), vec![0xff], long(7)].concat()).is_err());
    }

    #[test]
    fn what_does_not_resolve_is_undecodable_and_says_why() {
        let cases = [
            (ID.to_owned(), string("e"), "customer_id is missing"),
            (r#"{"name":"customer_id","type":"long"}"#.into(), long(7), "customer_id is long"),
            (r#"{"name":"customer_id","type":"string"}"#.into(), string("7"), "customer_id is string"),
            (r#"{"name":"customer_id","type":["null","int"]}"#.into(), long(0), "customer_id is missing"),
            (
                format!(r#"{CUSTOMER},{{"name":"event_id","type":"long"}}"#),
                [long(7), long(7)].concat(),
                "event_id is long",
            ),
            (
                format!(r#"{CUSTOMER},{{"name":"event_type","type":"boolean"}}"#),
                [long(7), vec![9]].concat(),
                "body",
            ),
        ];
        for (fields, body, reason) in cases {
            let error = decode(&schema(&fields), &body).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_schema_that_is_none_or_no_record_is_refused() {
        for text in ["", "{", "\"string\"", r#"{"type":"record"}"#, r#"["null","int"]"#] {
            assert!(WriterSchema::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_record_that_claims_to_hold_more_than_it_can_is_undecodable() {
        let schema = schema(ID);
        assert!(decode(&schema, &[long(1 << 40), b"e".to_vec()].concat()).is_err());
        assert!(decode(&schema, &[long(-1), b"e".to_vec()].concat()).is_err());
    }
}
