//! Pipeline C and records that are meant badly: each is one malformed row, and the others go on.

use serde_json::json;
use tests::events::{Events, assert_exactly_once};
use tests::lake::Lake;
use tests::topic::{ToSend, Topic};

fn framed(id: u32, body: &[u8]) -> ToSend {
    ToSend { partition: 0, key: None, value: Some([&[0], &id.to_be_bytes()[..], body].concat()) }
}

/// Avro's form of a number.
fn long(number: i64) -> Vec<u8> {
    let mut zigzag = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while zigzag > 0x7f {
        bytes.push(u8::try_from(zigzag & 0x7f).unwrap() | 0x80);
        zigzag >>= 7;
    }
    bytes.push(u8::try_from(zigzag).unwrap());
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&long(i64::try_from(text.len()).unwrap())[..], text.as_bytes()].concat()
}

/// The contract's fields, and one more.
fn schema(another: &serde_json::Value) -> serde_json::Value {
    json!({"type": "record", "name": "CustomerEvent", "namespace": "com.customer.events", "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "customer_id", "type": "int"},
        {"name": "event_type", "type": "string"},
        {"name": "product_id", "type": ["null", "int"], "default": null},
        {"name": "event_timestamp", "type": "string"},
        another
    ]})
}

/// An event, up to the field that is not the contract's.
fn event(id: &str) -> Vec<u8> {
    [text(id), long(7), text("LIKE"), long(0), text("2025-12-12T10:00:00Z")].concat()
}

#[tokio::test]
async fn a_poisoned_record_is_one_malformed_row_and_the_others_go_on() {
    let (topic, lake) = (Topic::empty(1).await, Lake::empty().await);
    let recursive = json!({"name": "next", "type": ["null", "com.customer.events.CustomerEvent"]});
    let recursive = topic.register("recursive", &schema(&recursive)).await;
    let nulls = json!({"name": "nulls", "type": {"type": "array", "items": "null"}});
    let nulls = topic.register("nulls", &schema(&nulls)).await;
    let texts = json!({"name": "texts", "type": {"type": "map", "values": "string"}});
    let texts = topic.register("texts", &schema(&texts)).await;
    let with = |id: &str, rest: &[u8]| [&event(id)[..], rest].concat();
    // As deep as a megabyte allows.
    let deep =
        [(0..20_000).flat_map(|_| with("deep", &long(1))).collect(), with("bottom", &long(0))].concat();
    let good = |schema, id: &str, rest: &[u8]| framed(schema, &with(id, rest));
    topic
        .send(&[
            good(recursive, "first", &long(0)),
            framed(recursive, &deep),
            good(nulls, "some nulls", &[long(3), long(0)].concat()),
            good(nulls, "more nulls than there are atoms", &[long(i64::MAX), long(0)].concat()),
            good(nulls, "as many, backwards", &[long(i64::MIN), long(i64::MAX), long(0)].concat()),
            good(texts, "a map without end", &[long(i64::MAX), text("key"), text("value")].concat()),
            good(texts, "a text without end", &[long(1), text("key"), long(i64::MAX)].concat()),
            good(texts, "a text before its beginning", &[long(1), text("key"), long(-1)].concat()),
            framed(recursive, &long(i64::MAX)),
            good(texts, "last", &[long(1), text("key"), text("value"), long(0)].concat()),
        ])
        .await;
    let run = topic.pipeline_c(&lake.url).run().await;
    assert_eq!(run.code, 0, "{run:#?}");
    let found = Events::read(lake.download().await.path()).await.rows;
    let events: Vec<_> = found.events.keys().map(|event| event.event_id.as_str()).collect();
    assert_eq!(events, ["first", "last", "some nulls"]);
    let malformed: Vec<_> = found.malformed.iter().map(|((_, at), row)| (*at, row.reason.as_str())).collect();
    assert_eq!(malformed, [1, 3, 4, 5, 6, 7, 8].map(|offset| (offset, "undecodable")));
    topic.verify(&lake.url).await;
}

#[tokio::test]
async fn records_of_ten_megabytes_are_rows_like_any_other() {
    let (topic, lake) = (Topic::empty(1).await, Lake::empty().await);
    let id = topic.register("value", &schema(&json!({"name": "note", "type": "string"}))).await;
    let large = "x".repeat(10_000_000);
    let good = |id_text: &str, note: &str| framed(id, &[event(id_text), text(note)].concat());
    let mut garbage = large.clone().into_bytes();
    garbage[0] = 1;
    let garbage = ToSend { partition: 0, key: Some(b"key".to_vec()), value: Some(garbage) };
    topic
        .send(&[
            good("before", ""),
            good(&large, ""),
            good("a large note", &large),
            garbage,
            framed(id, large.as_bytes()),
            good("after", ""),
        ])
        .await;
    // Small buffers take a large record, too: one at a time.
    let run = topic.pipeline_c(&lake.url).args(["--max-memory", "32MiB"]).run().await;
    assert_eq!(run.report()["read"], 6, "{run:#?}");
    assert!(run.stderr.len() < 100_000, "samples are cut: {} bytes", run.stderr.len());
    let found = assert_exactly_once(&topic, lake.download().await.path()).await;
    assert_eq!((found.rows.count(), found.rows.malformed.len()), (6, 2));
    topic.send(&[good("one more", "")]).await;
    assert_eq!(topic.pipeline_c(&lake.url).report().await["read"], 1, "the tail with the large event");
    assert_exactly_once(&topic, lake.download().await.path()).await;
    topic.verify(&lake.url).await;
}

#[tokio::test]
async fn a_topic_of_nothing_but_malformed_records_is_kept_as_a_whole() {
    let (topic, lake) =
        (Topic::filled("--count 3000 --invalid-ratio 1 --odd-ratio 0").await, Lake::empty().await);
    topic.pipeline_c(&lake.url).args(["--on-malformed", "halt"]).run().await.failed_with(3);
    let run = topic.pipeline_c(&lake.url).run().await;
    let report = run.report();
    assert_eq!((report["read"].as_u64(), report["quarantined"].as_u64()), (Some(3_000), Some(3_000)));
    assert!(run.stderr.contains("ALERT: too many malformed records"), "{}", run.stderr);
    let found = assert_exactly_once(&topic, lake.download().await.path()).await;
    assert_eq!(found.rows.events.len(), 0);
    topic.verify(&lake.url).await;
}
