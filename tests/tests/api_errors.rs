//! What the API says when it has nothing to give.

use serde_json::json;
use tests::api::Api;
use tests::keyspace::Keyspace;
use tests::lake::Lake;
use tests::program::Program;
use tests::shop::{Shop, Sizes};

#[tokio::test]
async fn each_error_has_the_status_and_body_of_the_contract() {
    let (shop, keyspace, lake) =
        (Shop::seeded(&Sizes::SMALL).await, Keyspace::empty().await, Lake::empty().await);
    let a = Program::pipeline_a(&shop.url, &keyspace.url).report();
    let b = Program::pipeline_b(&shop.url, &lake.url).report();
    tokio::join!(a, b);
    let api = Api::start(&keyspace.url, &lake.url).await;
    let mut answers = String::new();
    for path in [
        "/customer/99999",
        "/customer/x",
        "/customer/2147483648",
        "/customer/",
        "/summary/2024-03-01/99999",
        "/summary/2024-03-01/x",
        "/summary/2031-01-01",
        "/summary/2031-01-01/1",
        "/summary/20240301",
        "/summary/2024-02-30",
        "/summary/2024-3-1/1",
        "/summary/2024-03-01?limit=0",
        "/summary/2024-03-01?limit=ten",
        "/summary/2024-03-01?offset=-1",
        "/events/1",
        "/events/x",
        "/events/1?fromDate=yesterday",
        "/events/1?toDate=2024-13-01",
        "/events/1?limit=0",
        "/events/1?limit=1001",
        "/events/1?limit=1.5",
        "/nothing",
        "/_state/events",
    ] {
        let answer = api.get(path).await;
        assert!(answer.head.contains("content-type: application/json"), "{path}: {answer:?}");
        answers.extend([path, "\n  ", &answer.status.to_string(), " ", &answer.body, "\n"]);
    }
    insta::assert_snapshot!(answers);

    assert_eq!(api.get("/healthz").await.status, 200);
    let metrics = api.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
    assert!(metrics.body.lines().any(|line| line.starts_with("# TYPE tributary_")), "{}", metrics.body);
    let page = api.get("/").await;
    assert_eq!((page.status, page.body.contains("<html")), (200, true), "{page:?}");
    assert_eq!(api.terminate().await.code, 0);
}

#[tokio::test]
async fn stores_that_are_down_are_told_apart_and_the_process_lives() {
    let lake = Lake::empty().await;
    let api = Api::start_unready("cassandra://127.0.0.1:9/nowhere", &lake.url).await;
    let ready = api.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.head.contains("retry-after:"), "{ready:?}");
    assert_eq!(ready.json()["data"], json!({"profiles": "unreachable", "lake": "ok"}));
    let profile = api.get("/customer/1").await;
    let body = r#"{"status":"error","message":"unavailable","data":{}}"#;
    assert_eq!((profile.status, profile.body.as_str()), (503, body));
    assert!(profile.head.contains("retry-after:"), "{profile:?}");
    assert_eq!(api.get("/healthz").await.status, 200);
    assert_eq!(api.get("/events/1").await.status, 404);
    assert_eq!(api.terminate().await.code, 0);
}
