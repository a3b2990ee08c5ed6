//! The same schemas and bodies read by apache-avro: the results are the same.

use apache_avro::Schema;
use apache_avro::types::Value;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value as Json, json};
use std::io::{self, Read};

use super::{RawEvent, WriterSchema, decode};

/// What an event is to apache-avro; `None` where the body or a field of it does not read.
fn by_apache_avro(schema: &Schema, body: &[u8]) -> Option<Owned> {
    // Garbage may claim any length, and room for it is made at once.
    apache_avro::util::max_allocation_bytes(1 << 20);
    let mut body = Watched { rest: body, truncated: false };
    let value = apache_avro::from_avro_datum(schema, &mut body, None);
    if body.truncated || !body.rest.is_empty() {
        return None;
    }
    let Ok(Value::Record(fields)) = value else { return None };
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| plain(value));
    let int = |name: &str| match field(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::Int(number)) => Some(Some(*number)),
        Some(_) => None,
    };
    let text = |name: &str| match field(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text.clone())),
        Some(Value::Bytes(bytes)) => String::from_utf8(bytes.clone()).ok().map(Some),
        Some(_) => None,
    };
    let texts = [text("event_id")?, text("event_type")?, text("event_timestamp")?];
    Some((texts, int("customer_id")??, int("product_id")?))
}

type Owned = ([Option<String>; 3], i32, Option<i32>);

fn owned(event: RawEvent<'_>) -> Owned {
    let texts = [event.event_id, event.event_type, event.event_timestamp];
    (texts.map(|text| text.map(str::to_owned)), event.customer_id, event.product_id)
}

fn plain(value: &Value) -> &Value {
    if let Value::Union(_, inner) = value { plain(inner) } else { value }
}

/// Remembers that more was wanted than there is: apache-avro takes the end of the input for null.
struct Watched<'a> {
    rest: &'a [u8],
    truncated: bool,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.truncated |= buffer.len() > self.rest.len();
        self.rest.read(buffer)
    }
}

/// Any type; those with names get theirs later.
fn any_type() -> impl Strategy<Value = Json> {
    const PLAIN: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
    let leaf = prop_oneof![
        8 => select(&PLAIN[..]).prop_map(|name| json!(name)),
        1 => (1..4).prop_map(|count| {
            let symbols: Vec<_> = (0..count).map(|index| format!("S{index}")).collect();
            json!({"type": "enum", "name": "", "symbols": symbols})
        }),
        1 => (0..4).prop_map(|size| json!({"type": "fixed", "name": "", "size": size})),
        1 => Just(json!({"type": "string", "logicalType": "uuid"})),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|items| json!({"type": "array", "items": items})),
            inner.clone().prop_map(|values| json!({"type": "map", "values": values})),
            inner.clone().prop_map(|other| json!(["null", other])),
            prop::collection::vec(inner, 0..3).prop_map(|types| {
                let fields: Vec<_> = types
                    .into_iter()
                    .enumerate()
                    .map(|(index, kind)| json!({"name": format!("f{index}"), "type": kind}))
                    .collect();
                json!({"type": "record", "name": "", "fields": fields})
            }),
        ]
    })
}

/// The type of a field that the reader knows: mostly one that resolves.
fn field_type(usual: &'static str) -> impl Strategy<Value = Json> {
    prop_oneof![
        6 => Just(json!(usual)),
        3 => Just(json!(["null", usual])),
        1 => Just(json!([usual, "null"])),
        1 => Just(json!(["null", "bytes", "string", "int", "long"])),
        1 => any_type(),
    ]
}

fn any_schema() -> impl Strategy<Value = Option<Schema>> {
    let known = ["event_id", "customer_id", "event_type", "product_id", "event_timestamp"];
    let fields = known.map(|name| {
        let usual = if name.ends_with("r_id") || name.starts_with("prod") { "int" } else { "string" };
        prop::option::weighted(0.95, field_type(usual).prop_map(move |kind| (name.to_owned(), kind))).boxed()
    });
    let others = prop::collection::vec(any_type(), 0..3);
    (fields, others).prop_flat_map(|(known, others)| {
        let others = others.into_iter().enumerate().map(|(index, kind)| (format!("x{index}"), kind));
        let all: Vec<_> = known.into_iter().flatten().chain(others).collect();
        Just(all).prop_shuffle().prop_map(|all| {
            let fields: Vec<_> =
                all.into_iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
            let mut schema = json!({"type": "record", "name": "", "fields": fields});
            name_types(&mut schema, &mut 0);
            // A union in a union is none.
            Schema::parse(&schema).ok()
        })
    })
}

fn name_types(json: &mut Json, count: &mut u32) {
    match json {
        Json::Object(map) => {
            if map.get("name").is_some_and(|name| name == "") {
                *count += 1;
                map.insert("name".to_owned(), json!(format!("T{count}")));
            }
            map.remove("logicalType");
            map.values_mut().for_each(|value| name_types(value, count));
        }
        Json::Array(items) => items.iter_mut().for_each(|item| name_types(item, count)),
        _ => {}
    }
}

/// A value of the schema, made by drawing numbers.
fn value_of(schema: &Schema, draw: &mut impl FnMut(usize) -> usize) -> Value {
    let number = |drawn: usize| [0, 1, -1, 63, -64, 64, i32::MAX, i32::MIN][drawn];
    match schema {
        Schema::Null => Value::Null,
        Schema::Boolean => Value::Boolean(draw(2) == 1),
        Schema::Int => Value::Int(number(draw(8))),
        Schema::Long => Value::Long(i64::from(number(draw(8))) * 3),
        Schema::Float => Value::Float(1.5),
        Schema::Double => Value::Double(-2.5),
        Schema::Bytes => Value::Bytes([&b"bytes"[..], b"", b"\xff\xfe"][draw(3)].to_vec()),
        Schema::String => Value::String(["", "e", "Größe", " "][draw(4)].to_owned()),
        Schema::Fixed(fixed) => Value::Fixed(fixed.size, vec![7; fixed.size]),
        Schema::Enum(symbols) => {
            let index = draw(symbols.symbols.len());
            Value::Enum(u32::try_from(index).unwrap(), symbols.symbols[index].clone())
        }
        Schema::Array(array) => Value::Array((0..draw(3)).map(|_| value_of(&array.items, draw)).collect()),
        Schema::Map(map) => {
            Value::Map((0..draw(3)).map(|key| (format!("k{key}"), value_of(&map.types, draw))).collect())
        }
        Schema::Union(union) => {
            let branch = draw(union.variants().len());
            let inner = value_of(&union.variants()[branch], draw);
            Value::Union(u32::try_from(branch).unwrap(), Box::new(inner))
        }
        Schema::Record(record) => {
            let fields = record.fields.iter();
            Value::Record(fields.map(|field| (field.name.clone(), value_of(&field.schema, draw))).collect())
        }
        other => panic!("{other:?} is not generated"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_body_reads_as_apache_avro_reads_it(
        schema in any_schema(),
        draws in prop::collection::vec(any::<Index>(), 64),
        cut in any::<Index>(),
        changed: (Index, u8),
    ) {
        let Some(schema) = schema else { return Ok(()) };
        let mut draws = draws.iter().cycle();
        let value = value_of(&schema, &mut |count| draws.next().unwrap().index(count));
        let body = apache_avro::to_avro_datum(&schema, value).unwrap();
        let writer = WriterSchema::parse(&serde_json::to_string(&schema).unwrap()).unwrap();
        let mut spoilt = body.clone();
        if !body.is_empty() {
            spoilt[changed.0.index(body.len())] = changed.1;
        }
        let cut = &body[..cut.index(body.len() + 1)];
        let longer = [body.as_slice(), b"x"].concat();
        for body in [&body, &spoilt, cut, &longer] {
            let read = decode(&writer, body);
            prop_assert_eq!(read.clone().ok().map(owned), by_apache_avro(&schema, body), "{:?} {:?}", body, read);
        }
    }
}
