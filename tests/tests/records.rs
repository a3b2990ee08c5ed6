//! Pipeline C and records made by hand: every form that the contract accepts, and every one that it does not.

use apache_avro::types::Value;
use apache_avro::{Schema, to_avro_datum};
use serde_json::json;
use tests::compare::assert_same;
use tests::events::Events;
use tests::judge::{Event, Malformed, Outputs, date};
use tests::lake::Lake;
use tests::topic::{ToSend, Topic};

/// 2025-12-12T10:00:00.123456Z.
const AT: i64 = 1_765_533_600_123_456;
const AT_TEXT: &str = "2025-12-12T10:00:00.123456Z";

/// A record and what has to become of it.
struct Case {
    value: Option<Vec<u8>>,
    outcome: Outcome,
}

enum Outcome {
    /// Id, customer, type, product and time; no time stands for Kafka's.
    Event(&'static str, i32, &'static str, Option<i32>, Option<i64>),
    Malformed(&'static str),
}

use Outcome::{Event as Good, Malformed as Bad};

/// A schema that the registry has.
struct Writer {
    id: u32,
    schema: Schema,
}

impl Writer {
    async fn register(topic: &Topic, subject: &str, fields: serde_json::Value) -> Self {
        let record = json!({
            "type": "record", "name": "CustomerEvent", "namespace": "com.customer.events", "fields": fields
        });
        Self { id: topic.register(subject, &record).await, schema: Schema::parse(&record).unwrap() }
    }

    fn write(&self, fields: Vec<(&str, Value)>) -> Vec<u8> {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        framed(self.id, &to_avro_datum(&self.schema, Value::Record(fields)).unwrap())
    }
}

fn framed(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], body].concat()
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn null(branch: u32) -> Value {
    Value::Union(branch, Box::new(Value::Null))
}

fn some(branch: u32, value: Value) -> Value {
    Value::Union(branch, Box::new(value))
}

/// A record of the contract's schema.
fn plain(id: &str, kind: &str, product: Value, at: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("event_id", text(id)),
        ("customer_id", Value::Int(7)),
        ("event_type", text(kind)),
        ("product_id", product),
        ("event_timestamp", text(at)),
    ]
}

async fn contract_cases(topic: &Topic) -> Vec<Case> {
    let contract = json!([
        {"name": "event_id", "type": "string"},
        {"name": "customer_id", "type": "int"},
        {"name": "event_type", "type": "string"},
        {"name": "product_id", "type": ["null", "int"], "default": null},
        {"name": "event_timestamp", "type": "string"}
    ]);
    let writer = Writer::register(topic, "value", contract).await;
    let product = |id| some(1, Value::Int(id));
    let good = |id, product, at| writer.write(plain(id, "LIKE", product, at));
    let whole = good("whole", null(0), AT_TEXT);
    let id_length = 5; // The body begins with the id's length.
    let case = |value: Vec<u8>, outcome| Case { value: Some(value), outcome };
    vec![
        case(good("plain", product(3), AT_TEXT), Good("plain", 7, "LIKE", Some(3), Some(AT))),
        case(good("twice", product(3), AT_TEXT), Good("twice", 7, "LIKE", Some(3), Some(AT))),
        case(good("twice", product(3), AT_TEXT), Good("twice", 7, "LIKE", Some(3), Some(AT))),
        case(good("product 0", product(0), AT_TEXT), Good("product 0", 7, "LIKE", Some(0), Some(AT))),
        case(good("product -1", product(-1), AT_TEXT), Good("product -1", 7, "LIKE", None, Some(AT))),
        case(
            good("offset", null(0), "2025-12-12T12:30:00.123456+02:30"),
            Good("offset", 7, "LIKE", None, Some(AT)),
        ),
        case(
            good("new year", null(0), "2026-01-01T00:30:00+01:00"),
            Good("new year", 7, "LIKE", None, Some(1_767_223_800_000_000)),
        ),
        case(good("no time", null(0), ""), Good("no time", 7, "LIKE", None, None)),
        case(good("bad time", null(0), "2025-02-30T10:00:00Z"), Good("bad time", 7, "LIKE", None, None)),
        case(good("bad time 2", null(0), "soon"), Good("bad time 2", 7, "LIKE", None, None)),
        case(good("名前 🛒", null(0), AT_TEXT), Good("名前 🛒", 7, "LIKE", None, Some(AT))),
        Case { value: None, outcome: Bad("not_framed") },
        case(vec![], Bad("not_framed")),
        case(vec![0, 0, 0, 1], Bad("not_framed")),
        case(br#"{"event_id":"json"}"#.to_vec(), Bad("not_framed")),
        case([&[1], &whole[1..]].concat(), Bad("not_framed")),
        case(framed(2_000_000_001, &whole[5..]), Bad("unknown_schema")),
        case(whole[..5].to_vec(), Bad("undecodable")),
        case(whole[..id_length + 4].to_vec(), Bad("undecodable")), // within the id
        case(whole[..whole.len() - 1].to_vec(), Bad("undecodable")), // within the timestamp
        case(whole[..whole.len() - AT_TEXT.len()].to_vec(), Bad("undecodable")), // before the timestamp's text
        case([&whole[..], &[0]].concat(), Bad("undecodable")),
        case([&whole[..], &whole[5..]].concat(), Bad("undecodable")),
        case(writer.write(plain("", "LIKE", null(0), AT_TEXT)), Bad("missing_event_id")),
        case(writer.write(plain(" \t", "", null(0), AT_TEXT)), Bad("missing_event_id")),
        case(writer.write(plain("no type", "", null(0), AT_TEXT)), Bad("missing_event_type")),
        case(writer.write(plain("blank type", "  ", null(0), AT_TEXT)), Bad("missing_event_type")),
        case(whole, Good("whole", 7, "LIKE", None, Some(AT))),
    ]
}

async fn nullable_cases(topic: &Topic) -> Vec<Case> {
    let optional = |kind: &str| json!(["null", kind]);
    let nullable = json!([
        {"name": "event_id", "type": optional("string")},
        {"name": "customer_id", "type": "int"},
        {"name": "event_type", "type": optional("string")},
        {"name": "product_id", "type": optional("int")},
        {"name": "event_timestamp", "type": optional("string")}
    ]);
    let writer = Writer::register(topic, "nullable", nullable).await;
    let fields = |id: Value, kind: Value, at: Value| {
        let fields = [("event_id", id), ("customer_id", Value::Int(8)), ("event_type", kind)];
        let rest = [("product_id", null(0)), ("event_timestamp", at)];
        writer.write(fields.into_iter().chain(rest).collect())
    };
    let some = |value| some(1, text(value));
    [
        (fields(some("v2"), some("VIEW"), some(AT_TEXT)), Good("v2", 8, "VIEW", None, Some(AT))),
        (fields(some("v2 no time"), some("VIEW"), null(0)), Good("v2 no time", 8, "VIEW", None, None)),
        (fields(null(0), some("VIEW"), some(AT_TEXT)), Bad("missing_event_id")),
        (fields(some("v2 no type"), null(0), some(AT_TEXT)), Bad("missing_event_type")),
    ]
    .map(|(value, outcome)| Case { value: Some(value), outcome })
    .into()
}

async fn other_schemas_cases(topic: &Topic) -> Vec<Case> {
    // Another order, a field more, and a nested one.
    let extra = json!([
        {"name": "customer_id", "type": "int"},
        {"name": "campaign", "type": ["null", {"type": "array", "items": "string"}], "default": null},
        {"name": "event_timestamp", "type": "string"},
        {"name": "event_type", "type": "string"},
        {"name": "event_id", "type": "string"},
        {"name": "product_id", "type": ["null", "int"], "default": null}
    ]);
    let extra = Writer::register(topic, "extra", extra).await;
    let campaign = some(1, Value::Array(vec![text("spring"), text("sale")]));
    let mut with_campaign = plain("extra", "LIKE", some(1, Value::Int(9)), AT_TEXT);
    with_campaign.push(("campaign", campaign));

    let promoted = json!([
        {"name": "event_id", "type": "bytes"},
        {"name": "customer_id", "type": "int"},
        {"name": "event_type", "type": "string"},
        {"name": "product_id", "type": "int"},
        {"name": "event_timestamp", "type": "string"}
    ]);
    let promoted = Writer::register(topic, "promoted", promoted).await;
    let promote = |id: &[u8]| {
        let mut fields = plain("", "LIKE", Value::Int(11), AT_TEXT);
        fields[0].1 = Value::Bytes(id.to_vec());
        promoted.write(fields)
    };

    let fewer = json!([
        {"name": "event_id", "type": "string"},
        {"name": "customer_id", "type": "int"},
        {"name": "event_type", "type": "string"},
        {"name": "event_timestamp", "type": "string"}
    ]);
    let fewer = Writer::register(topic, "fewer", fewer).await;
    let mut without_product = plain("fewer", "LIKE", null(0), AT_TEXT);
    without_product.remove(3);

    // Avro does not narrow.
    let long = json!([
        {"name": "event_id", "type": "string"},
        {"name": "customer_id", "type": "long"},
        {"name": "event_type", "type": "string"},
        {"name": "event_timestamp", "type": "string"}
    ]);
    let long = Writer::register(topic, "long", long).await;
    let mut with_long = plain("long", "LIKE", null(0), AT_TEXT);
    with_long.remove(3);
    with_long[1].1 = Value::Long(7);

    let no_record = topic.register("string", &json!("string")).await;
    [
        (extra.write(with_campaign), Good("extra", 7, "LIKE", Some(9), Some(AT))),
        (promote(b"promoted"), Good("promoted", 7, "LIKE", Some(11), Some(AT))),
        (promote(b"\xff\xfe"), Bad("undecodable")),
        (fewer.write(without_product), Good("fewer", 7, "LIKE", None, Some(AT))),
        (long.write(with_long), Bad("undecodable")),
        (framed(no_record, b"\x08text"), Bad("undecodable")),
    ]
    .map(|(value, outcome)| Case { value: Some(value), outcome })
    .into()
}

/// Schemas and bodies that would take a careless reader's stack, memory or time.
async fn poison_cases(topic: &Topic) -> Vec<Case> {
    let with_first = |kind: serde_json::Value| {
        json!([{"name": "poison", "type": kind}, {"name": "event_id", "type": "string"},
               {"name": "customer_id", "type": "int"}, {"name": "event_type", "type": "string"},
               {"name": "event_timestamp", "type": "string"}])
    };
    let list = json!({"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]});
    let list = Writer::register(topic, "list", with_first(list)).await;
    let nulls = Writer::register(topic, "nulls", with_first(json!({"type": "array", "items": "null"}))).await;
    let map = Writer::register(topic, "map", with_first(json!({"type": "map", "values": "null"}))).await;
    let texts =
        Writer::register(topic, "texts", with_first(json!({"type": "array", "items": "string"}))).await;
    // What follows a poison that reads: id, customer, type and time.
    let rest = [&b"\x0cpoison\x0e\x08LIKE\x36"[..], AT_TEXT.as_bytes()].concat();
    let with_rest = |start: &[u8]| [start, &rest].concat();
    let links = |count: usize| with_rest(&[b"\x02".repeat(count), vec![0]].concat());
    // 2^63 - 1, the most that a length or a count can claim; and -2^63.
    let (most, least) = ([&[0xfe][..], &[0xff; 8], &[1]].concat(), [&[0xff; 9][..], &[1]].concat());
    let good = || Good("poison", 7, "LIKE", None, Some(AT));
    [
        (framed(list.id, &links(10)), good()),
        (framed(list.id, &links(500_000)), Bad("undecodable")),
        (framed(nulls.id, &with_rest(b"\x06\x00")), good()),
        (framed(nulls.id, &with_rest(&[&most[..], &[0]].concat())), Bad("undecodable")),
        (framed(nulls.id, &with_rest(&[&least[..], &[2, 0]].concat())), Bad("undecodable")),
        (framed(map.id, &with_rest(&[&most[..], &[0; 5_000]].concat())), Bad("undecodable")),
        (framed(texts.id, &with_rest(&[&[2][..], &most].concat())), Bad("undecodable")),
        (framed(texts.id, &with_rest(&[&[2][..], &least].concat())), Bad("undecodable")),
    ]
    .map(|(value, outcome)| Case { value: Some(value), outcome })
    .into()
}

#[tokio::test]
async fn each_form_of_a_record_that_avro_resolves_is_an_event_and_each_other_is_kept_with_its_bytes_and_reason()
 {
    let (topic, lake) = (Topic::empty(2).await, Lake::empty().await);
    let mut cases = contract_cases(&topic).await;
    cases.extend(nullable_cases(&topic).await);
    cases.extend(other_schemas_cases(&topic).await);
    cases.extend(poison_cases(&topic).await);
    // Alternately in both partitions; with a key, without one, and with one that is no text.
    let keys = [Some(b"key".to_vec()), None, Some(vec![0xff, 0]), Some(vec![])];
    let to_send = |(at, case): (usize, &Case)| ToSend {
        partition: i32::try_from(at % 2).unwrap(),
        key: keys[at % keys.len()].clone(),
        value: case.value.clone(),
    };
    topic.send(&cases.iter().enumerate().map(to_send).collect::<Vec<_>>()).await;

    let report = topic.pipeline_c(&lake.url).report().await;
    assert_eq!(report["read"], cases.len(), "{report}");
    let found = Events::read(lake.download().await.path()).await.rows;
    let expected = expected(&topic, &cases).await;
    assert_same(&found.events, &expected.events);
    assert_same(&found.malformed, &expected.malformed);
}

async fn expected(topic: &Topic, cases: &[Case]) -> Outputs {
    let mut expected = Outputs::default();
    for record in topic.records().await {
        let case =
            &cases[usize::try_from(record.offset * 2).unwrap() + usize::try_from(record.partition).unwrap()];
        assert_eq!(record.value, case.value);
        match case.outcome {
            Good(event_id, customer_id, event_type, product_id, at) => {
                let event_timestamp = at.unwrap_or(record.timestamp_ms * 1_000);
                let event = Event {
                    event_id: event_id.to_owned(),
                    partition: record.partition,
                    customer_id,
                    event_type: event_type.to_owned(),
                    product_id,
                    event_timestamp,
                    event_date: date(event_timestamp),
                };
                *expected.events.entry(event).or_default() += 1;
            }
            Bad(reason) => {
                let row = Malformed {
                    topic: topic.name.clone(),
                    kafka_timestamp: record.timestamp_ms * 1_000,
                    key: record.key,
                    value: record.value.unwrap_or_default(),
                    reason: reason.to_owned(),
                };
                expected.malformed.insert((record.partition, record.offset), row);
            }
        }
    }
    expected
}
