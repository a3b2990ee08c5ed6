//! The API over what the pipelines have written, against SQL and the topic.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};
use tests::api::Api;
use tests::expected::{self, Amounts};
use tests::judge::{Event, judge};
use tests::keyspace::Keyspace;
use tests::lake::Lake;
use tests::program::Program;
use tests::shop::{Shop, Sizes};
use tests::topic::Topic;

/// An answer is never older.
const FRESH_WITHIN: Duration = Duration::from_secs(5);

/// Everything that the API reads, and what the pipelines make it from.
pub struct World {
    pub shop: Shop,
    topic: Topic,
    pub keyspace: Keyspace,
    pub lake: Lake,
}

impl World {
    pub async fn new() -> Self {
        let (shop, keyspace, lake) =
            (Shop::seeded(&Sizes::SMALL).await, Keyspace::empty().await, Lake::empty().await);
        let days = "--count 3000 --customers 40 --invalid-ratio 0.02 --odd-ratio 0.02 --from 2025-03-01 --to 2025-03-06";
        let world = Self { topic: Topic::filled(days).await, shop, keyspace, lake };
        world.append().await;
        world.run_pipelines().await;
        world
    }

    async fn append(&self) {
        let append = Program::new("producer").args(["append", "--source", &self.shop.url, "--per-day", "20"]);
        assert_eq!(append.run().await.code, 0);
    }

    async fn run_pipelines(&self) {
        tokio::join!(
            Program::pipeline_a(&self.shop.url, &self.keyspace.url).report(),
            Program::pipeline_b(&self.shop.url, &self.lake.url).report(),
            self.topic.pipeline_c(&self.lake.url).report(),
        );
    }

    /// Each customer's events in the order of their time.
    async fn events(&self) -> BTreeMap<i32, Vec<Event>> {
        let mut customers: BTreeMap<i32, Vec<Event>> = BTreeMap::new();
        for event in judge(&self.topic.name, &self.topic.records().await).await.events.into_keys() {
            customers.entry(event.customer_id).or_default().push(event);
        }
        let key = |event: &Event| (event.event_timestamp, event.event_id.clone());
        for events in customers.values_mut() {
            events.sort_by_key(key);
        }
        customers
    }
}

async fn events_at(api: &Api, path: &str) -> Vec<Value> {
    let mut data = api.data(path, "Customer events retrieved successfully").await;
    let Value::Array(mut events) = data["events"].take() else { panic!("{path}: {data}") };
    for event in &mut events {
        let ingested = event.as_object_mut().unwrap().remove("ingestion_timestamp").unwrap();
        let ingested = ingested.as_str().unwrap();
        assert!(ingested.ends_with('Z') && DateTime::parse_from_rfc3339(ingested).is_ok(), "{ingested}");
    }
    events
}

async fn assert_profiles(api: &Api, world: &World) {
    for (id, profile) in expected::profiles(&world.shop).await {
        let number = |text: &str| text.parse::<f64>().unwrap();
        let expected = json!({
            "customer_id": id,
            "name": profile.name,
            "email": profile.email,
            "gender": profile.gender,
            "total_spend": number(&profile.total_spend),
            "total_transactions": profile.total_transactions,
            "avg_order_value": number(&profile.avg_order_value),
            "first_purchase": time(profile.first_purchase_ms * 1_000),
            "last_purchase": time(profile.last_purchase_ms * 1_000),
            "favorite_category": profile.favorite_category,
        });
        let mut found = api.data(&format!("/customer/{id}"), "Customer profile retrieved successfully").await;
        // An amount without cents is written as a whole number.
        for amount in ["total_spend", "avg_order_value"] {
            found[amount] = json!(found[amount].as_f64().expect("amounts are numbers"));
        }
        assert_eq!(found, expected);
    }
}

async fn assert_summaries(api: &Api, world: &World) {
    let mut days: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for ((date, customer_id), summary) in expected::summaries(&world.shop, Amounts::Warned).await {
        days.entry(date.clone()).or_default().push(json!({
            "date": date,
            "customer_id": customer_id,
            "total_amount": summary.total_amount,
            "total_items": summary.total_items,
            "distinct_products": summary.distinct_products,
            "top_category": summary.top_category,
        }));
    }
    assert!(days.len() > 20, "{} days", days.len());
    let list = "Daily transaction summaries retrieved successfully";
    for (date, rows) in days {
        let path = format!("/summary/{date}");
        assert_eq!(api.data(&path, list).await, json!({"summaries": rows}));
        let middle = rows.len() / 2;
        let part = api.data(&format!("{path}?limit=2&offset={middle}"), list).await;
        assert_eq!(part, json!({"summaries": rows[middle..rows.len().min(middle + 2)]}));
        let path = format!("{path}/{}", rows[middle]["customer_id"]);
        let one = api.data(&path, "Daily transaction summary retrieved successfully").await;
        assert_eq!(one, json!({"summary": rows[middle]}));
    }
}

async fn assert_events(api: &Api, world: &World) {
    let customers = world.events().await;
    assert_eq!(customers.len(), 40);
    for (id, events) in customers {
        let rows: Vec<Value> = events.iter().map(row).collect();
        assert_eq!(events_at(api, &format!("/events/{id}?limit=1000")).await, rows);
    }
}

fn row(event: &Event) -> Value {
    json!({
        "date": event.event_date,
        "event_id": event.event_id,
        "customer_id": event.customer_id,
        "event_type": event.event_type,
        "product_id": event.product_id,
        "event_timestamp": time(event.event_timestamp),
    })
}

fn time(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[tokio::test]
async fn answers_equal_sql_and_the_topic_and_follow_the_pipelines_within_five_seconds() {
    let world = World::new().await;
    let api = Api::start(&world.keyspace.url, &world.lake.url).await;
    assert_profiles(&api, &world).await;
    assert_summaries(&api, &world).await;
    assert_events(&api, &world).await;

    world.topic.produce("--count 300 --customers 40 --from 2025-03-01 --to 2025-03-06").await;
    world.append().await;
    let (customers, days) = (world.events().await, expected::summaries(&world.shop, Amounts::Warned).await);
    let (busiest, events) = customers.iter().max_by_key(|(_, events)| events.len()).unwrap();
    let events: Vec<Value> = events.iter().map(row).collect();
    let newest = &days.keys().next_back().unwrap().0;
    let rows = days.keys().filter(|(date, _)| date == newest).count();

    world.run_pipelines().await;
    let follows = async {
        let of_newest =
            async || api.get(&format!("/summary/{newest}")).await.json()["data"]["summaries"].take();
        while events_at(&api, &format!("/events/{busiest}?limit=1000")).await != events
            || of_newest().await.as_array().is_none_or(|found| found.len() != rows)
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(FRESH_WITHIN, follows).await.expect("an answer is older than 5 s");
    assert_profiles(&api, &world).await;
    assert_events(&api, &world).await;

    let ended = api.terminate().await;
    assert_eq!(ended.code, 0, "{ended:#?}");
}

#[tokio::test]
async fn events_come_by_time_within_both_dates_and_up_to_the_limit() {
    let (topic, lake) = (Topic::empty(3).await, Lake::empty().await);
    topic.produce("--count 1200 --customers 2 --from 2025-03-01 --to 2025-03-06").await;
    topic.pipeline_c(&lake.url).report().await;
    let profiles = tempfile::TempDir::new().unwrap();
    let api = Api::start(&format!("sqlite://{}/p.db", profiles.path().display()), &lake.url).await;
    let judged = judge(&topic.name, &topic.records().await).await;
    let mut all: Vec<&Event> = judged.events.keys().filter(|event| event.customer_id == 1).collect();
    all.sort_by_key(|event| (event.event_timestamp, &event.event_id));
    assert!(all.len() > 400, "{}", all.len());

    let between = |from: &str, to: &str| -> Vec<Value> {
        let inside = |event: &&&Event| (from..=to).contains(&event.event_date.as_str());
        all.iter().filter(inside).map(|event| row(event)).collect()
    };
    let every = between("", "9");
    let backwards: Vec<Value> = every.iter().rev().cloned().collect();
    for (query, expected) in [
        ("", &every[..100]),
        ("?limit=1", &every[..1]),
        ("?limit=7", &every[..7]),
        ("?limit=1000", &every[..]),
        ("?limit=333&order=desc", &backwards[..333]),
        ("?order=desc", &backwards[..100]),
        ("?limit=1000&fromDate=2025-03-02&toDate=2025-03-04", &between("2025-03-02", "2025-03-04")),
        ("?limit=1000&fromDate=2025-03-03&toDate=2025-03-03", &between("2025-03-03", "2025-03-03")),
        ("?limit=1000&fromDate=2025-03-04", &between("2025-03-04", "9")),
        ("?limit=1000&toDate=2025-03-02", &between("", "2025-03-02")),
    ] {
        assert_eq!(events_at(&api, &format!("/events/1{query}")).await, expected, "{query}");
    }
    assert_eq!(api.terminate().await.code, 0);
}
