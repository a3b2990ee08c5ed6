//! Odd events and malformed records: each really is what its kind says.

use apache_avro::write_avro_datum_ref;
use common::avro::CustomerEvent;
use rand::Rng;
use serde::Serialize;

use super::kind::Kind;
use super::schemas::{Registered, Schemas};
use crate::error::ProducerError;

/// Timestamps that no parser should accept.
const BAD_TIMESTAMPS: [&str; 4] = ["yesterday", "2025-13-45T99:99:99Z", "12/31/2025 10:00", "NaN"];

/// An event as the schema with nullable fields has it.
#[derive(Serialize)]
struct NullableEvent<'a> {
    event_id: Option<&'a str>,
    customer_id: i32,
    event_type: Option<&'a str>,
    product_id: Option<i32>,
    event_timestamp: &'a str,
}

/// Changes the fields in which `kind` differs from a plain event.
pub(super) fn odd(kind: Kind, event: &mut CustomerEvent, rng: &mut impl Rng) {
    match kind {
        Kind::OddNegativeProduct => event.product_id = Some(-rng.random_range(1..=1_000)),
        Kind::OddNoProduct => event.product_id = None,
        Kind::OddBadTimestamp => {
            BAD_TIMESTAMPS[rng.random_range(0..BAD_TIMESTAMPS.len())].clone_into(&mut event.event_timestamp);
        }
        Kind::OddEmptyTimestamp => event.event_timestamp.clear(),
        Kind::EventIdEmpty => event.event_id.clear(),
        Kind::EventIdBlank => "  \t ".clone_into(&mut event.event_id),
        Kind::EventTypeEmpty => event.event_type.clear(),
        Kind::EventTypeBlank => "   ".clone_into(&mut event.event_type),
        _ => {}
    }
}

/// Writes the Kafka value of `event` as `kind` has it; for a tombstone it is left empty.
pub(super) fn write_value(
    kind: Kind,
    event: &CustomerEvent,
    schemas: &Schemas,
    rng: &mut impl Rng,
    value: &mut Vec<u8>,
) -> Result<(), ProducerError> {
    value.clear();
    match kind {
        Kind::NotFramedTombstone => return Ok(()),
        Kind::EventIdNull | Kind::EventTypeNull => {
            let nullable = schemas.nullable.as_ref().expect("these kinds are made only with this schema");
            let event = NullableEvent {
                event_id: (kind != Kind::EventIdNull).then_some(&event.event_id),
                customer_id: event.customer_id,
                event_type: (kind != Kind::EventTypeNull).then_some(&event.event_type),
                product_id: event.product_id,
                event_timestamp: &event.event_timestamp,
            };
            return encode(nullable, &event, value);
        }
        _ => encode(&schemas.event, event, value)?,
    }
    match kind {
        Kind::NotFramedShort => value.truncate(rng.random_range(0..5)),
        Kind::NotFramedMagic => value[0] = rng.random_range(1..=u8::MAX),
        Kind::UnknownSchema => value[1..5].copy_from_slice(&schemas.absent.0.to_be_bytes()),
        // A shorter body always ends within a field.
        Kind::UndecodableTruncated => value.truncate(rng.random_range(5..value.len())),
        Kind::UndecodableTrailing => value.extend((0..rng.random_range(1..=8)).map(|_| rng.random::<u8>())),
        _ => {}
    }
    Ok(())
}

fn encode(registered: &Registered, event: &impl Serialize, value: &mut Vec<u8>) -> Result<(), ProducerError> {
    value.extend_from_slice(&registered.header);
    write_avro_datum_ref(&registered.schema, event, value)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use apache_avro::from_avro_datum;
    use apache_avro::types::Value;
    use common::avro::{SchemaId, unframe};
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    const ABSENT: SchemaId = SchemaId(77);

    fn schemas() -> Schemas {
        Schemas {
            event: Registered::new(SchemaId(1), common::avro::CUSTOMER_EVENT_SCHEMA).unwrap(),
            nullable: Some(Registered::new(SchemaId(2), super::super::schemas::NULLABLE_SCHEMA).unwrap()),
            absent: ABSENT,
        }
    }

    /// The contract's rules, told independently of how the values were made.
    fn judge(value: Option<&[u8]>, schemas: &Schemas) -> Result<CustomerEvent, &'static str> {
        let (id, mut body) = value.and_then(|value| unframe(value).ok()).ok_or("not_framed")?;
        let known = [Some(&schemas.event), schemas.nullable.as_ref()];
        let writer = known
            .into_iter()
            .flatten()
            .find(|known| unframe(&known.header).unwrap().0 == id)
            .ok_or("unknown_schema")?;
        let Ok(Value::Record(fields)) = from_avro_datum(&writer.schema, &mut body, None) else {
            return Err("undecodable");
        };
        // Where a string ends early, apache-avro gives a null in its place, not an error.
        if !body.is_empty() || fields.iter().any(|(_, value)| *value == Value::Null) {
            return Err("undecodable");
        }
        let field = |name: &str| {
            let value = fields.iter().find(|(field, _)| field == name).unwrap().1.clone();
            if let Value::Union(_, inner) = value { *inner } else { value }
        };
        let text = |name: &str| match field(name) {
            Value::String(text) => text,
            _ => String::new(),
        };
        let number = |name: &str| match field(name) {
            Value::Int(number) => Some(number),
            _ => None,
        };
        let event = CustomerEvent {
            event_id: text("event_id"),
            customer_id: number("customer_id").unwrap(),
            event_type: text("event_type"),
            product_id: number("product_id"),
            event_timestamp: text("event_timestamp"),
        };
        match () {
            () if event.event_id.trim().is_empty() => Err("missing_event_id"),
            () if event.event_type.trim().is_empty() => Err("missing_event_type"),
            () => Ok(event),
        }
    }

    fn plain() -> CustomerEvent {
        CustomerEvent {
            event_id: "6ca89bd9-c91b-4514-8512-9275624a1e66".into(),
            customer_id: 42,
            event_type: "LIKE".into(),
            product_id: Some(7),
            event_timestamp: "2025-12-12T10:00:00.000Z".into(),
        }
    }

    fn made(kind: Kind, seed: u64) -> (CustomerEvent, Result<CustomerEvent, &'static str>) {
        let (schemas, mut event, mut rng) = (schemas(), plain(), StdRng::seed_from_u64(seed));
        let mut value = b"left over".to_vec();
        odd(kind, &mut event, &mut rng);
        write_value(kind, &event, &schemas, &mut rng, &mut value).unwrap();
        let verdict = judge((kind != Kind::NotFramedTombstone).then_some(&value), &schemas);
        (event, verdict)
    }

    proptest! {
        #[test]
        fn every_malformed_kind_is_judged_for_its_own_reason(seed: u64) {
            for kind in Kind::MALFORMED {
                prop_assert_eq!(made(kind, seed).1.err(), kind.reason(), "{}", kind);
            }
        }

        #[test]
        fn odd_events_are_acceptable_and_odd(seed: u64) {
            for kind in Kind::ODD {
                let (event, verdict) = made(kind, seed);
                prop_assert_eq!(verdict.as_ref(), Ok(&event), "{}", kind);
                prop_assert_ne!(event, plain(), "{}", kind);
            }
        }
    }

    #[test]
    fn a_plain_event_reads_back() {
        assert_eq!(made(Kind::Valid, 1).1, Ok(plain()));
    }

    #[test]
    fn odd_timestamps_are_none() {
        for text in BAD_TIMESTAMPS {
            assert!(chrono::DateTime::parse_from_rfc3339(text).is_err(), "{text}");
        }
    }
}
