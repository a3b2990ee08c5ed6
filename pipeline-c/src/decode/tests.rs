//! What bodies read as.

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

fn event() -> RawEvent<'static> {
    RawEvent {
        event_id: Some("e"),
        customer_id: 7,
        event_type: Some("LIKE"),
        product_id: Some(-3),
        event_timestamp: Some("t"),
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
    let body = [string("e"), long(7)].concat();
    let read = decode(&schema, &body).unwrap();
    assert_eq!(read.event_id, Some("e"));
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
            "event_type is boolean",
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

/// A schema and a body of `levels` values within each other, of a type that holds itself.
fn nested(levels: usize) -> (WriterSchema, Vec<u8>) {
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    let schema = schema(&format!(r#"{{"name":"list","type":{list}}},{CUSTOMER}"#));
    (schema, [long(1).repeat(levels), long(0), long(7)].concat())
}

#[test]
fn a_recursive_type_reads_as_deep_as_people_use_it_and_no_deeper() {
    let (schema, body) = nested(20);
    assert_eq!(decode(&schema, &body).map(|event| event.customer_id), Ok(7));
    let (schema, body) = nested(1_000_000);
    assert!(decode(&schema, &body).unwrap_err().to_string().contains("nest deeper"));
    // A record that holds itself without a way out takes no bytes at all.
    let endless = r#"{"name":"r","type":{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}}"#;
    assert!(decode(&self::schema(endless), b"").unwrap_err().to_string().contains("nest deeper"));
    let itself = self::schema(&format!(r#"{{"name":"e","type":"E"}},{CUSTOMER}"#));
    assert!(decode(&itself, &long(7)).is_err());
}

#[test]
fn a_few_bytes_that_claim_a_world_of_nothing_cost_nothing() {
    let void = r#"{"type":"record","name":"V","fields":[{"name":"n","type":"null"},{"name":"f","type":{"type":"fixed","name":"F","size":0}}]}"#;
    for items in ["\"null\"", void] {
        let schema =
            schema(&format!(r#"{{"name":"a","type":{{"type":"array","items":{items}}}}},{CUSTOMER}"#));
        let claims = |items: i64| [long(items), long(0), long(7)].concat();
        assert_eq!(decode(&schema, &claims(1_000)).map(|event| event.customer_id), Ok(7));
        for claimed in [1 << 21, i64::MAX] {
            assert!(decode(&schema, &claims(claimed)).unwrap_err().to_string().contains("without content"));
        }
        let negative = [long(i64::MIN), long(i64::MIN), long(0), long(7)].concat();
        assert!(decode(&schema, &negative).unwrap_err().to_string().contains("without content"));
    }
    for kind in [r#"{"type":"map","values":"null"}"#, r#"{"type":"array","items":"string"}"#] {
        let schema = schema(&format!(r#"{{"name":"m","type":{kind}}},{CUSTOMER}"#));
        for claimed in [i64::MAX, i64::MIN] {
            let body = [long(claimed), vec![0; 1_000]].concat();
            assert!(decode(&schema, &body).is_err());
        }
    }
    let fixed =
        format!(r#"{{"name":"f","type":{{"type":"fixed","name":"F","size":{}}}}},{CUSTOMER}"#, i64::MAX);
    assert_eq!(decode(&schema(&fixed), b"1234"), Err(Undecodable::Truncated));
}

#[test]
fn a_schema_that_nests_as_deep_as_json_may_is_read_or_refused() {
    for levels in [10, 40, 60, 120, 100_000] {
        let nested =
            [&r#"{"type":"array","items":"#.repeat(levels), r#""int""#, &"}".repeat(levels)].concat();
        let text =
            format!(r#"{{"type":"record","name":"E","fields":[{{"name":"a","type":{nested}}},{CUSTOMER}]}}"#);
        if let Ok(schema) = WriterSchema::parse(&text) {
            assert_eq!(decode(&schema, &[long(0), long(7)].concat()).map(|event| event.customer_id), Ok(7));
        } else {
            assert!(levels > 100, "{levels}");
        }
    }
}
