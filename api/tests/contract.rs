//! Every path, message and error of the contract.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{SummaryRow, TestApi, event, events_file, profile, summary_file, until, write_profiles};

/// One customer with everything; another with nothing.
async fn api() -> TestApi {
    let api = TestApi::start().await;
    write_profiles(&api.folder.path().join("profiles.db"), &[profile(456)]).await;
    let day = [SummaryRow(1088, 57_714.9, 6, 1, "Sports"), SummaryRow(3156, 12_895.28, 2, 1, "Electronics")];
    api.write("txn_summary/date=2025-12-10/part-00000.parquet", summary_file(&day, 1_000)).await;
    let mut first = event("b", 2942, "2025-12-09T18:18:50.850395Z");
    (first.kind, first.ingested) = ("CART_ADD", "2025-12-09T18:18:59.149Z".parse().unwrap());
    let mut same_time = event("a", 2942, "2025-12-09T18:18:50.850395Z");
    same_time.product = None;
    api.write("events/event_date=2025-12-09/t-0-0.parquet", events_file(vec![first, same_time], 1_000)).await;
    let late = vec![event("c", 2942, "2025-12-10T00:00:00Z"), event("d", 7, "2025-12-10T00:00:00Z")];
    api.write("events/event_date=2025-12-10/t-0-2.parquet", events_file(late, 1_000)).await;
    until(&api, "/customer/456", Duration::from_secs(20), |answer| answer.status == 200).await;
    api
}

#[tokio::test]
async fn each_path_answers_in_the_contracts_words() {
    let api = api().await;
    let cases = [
        (
            "/customer/456",
            r#"{"status":"success","message":"Customer profile retrieved successfully","data":{"customer_id":456,"name":"Customer_456","email":"customer_456@example.com","gender":"M","total_spend":143949.5,"total_transactions":6,"avg_order_value":23991.58,"first_purchase":"2022-03-07T06:30:00Z","last_purchase":"2024-05-18T18:17:40Z","favorite_category":"Grocery"}}"#,
        ),
        (
            "/summary/2025-12-10",
            r#"{"status":"success","message":"Daily transaction summaries retrieved successfully","data":{"summaries":[{"date":"2025-12-10","customer_id":1088,"total_amount":57714.9,"total_items":6,"distinct_products":1,"top_category":"Sports"},{"date":"2025-12-10","customer_id":3156,"total_amount":12895.28,"total_items":2,"distinct_products":1,"top_category":"Electronics"}]}}"#,
        ),
        (
            "/summary/2025-12-10?limit=1&offset=1",
            r#"{"status":"success","message":"Daily transaction summaries retrieved successfully","data":{"summaries":[{"date":"2025-12-10","customer_id":3156,"total_amount":12895.28,"total_items":2,"distinct_products":1,"top_category":"Electronics"}]}}"#,
        ),
        (
            "/summary/2025-12-10?offset=2",
            r#"{"status":"success","message":"Daily transaction summaries retrieved successfully","data":{"summaries":[]}}"#,
        ),
        (
            "/summary/2025-12-10/3156",
            r#"{"status":"success","message":"Daily transaction summary retrieved successfully","data":{"summary":{"date":"2025-12-10","customer_id":3156,"total_amount":12895.28,"total_items":2,"distinct_products":1,"top_category":"Electronics"}}}"#,
        ),
        (
            "/events/2942?fromDate=2025-12-09&toDate=2025-12-09",
            r#"{"status":"success","message":"Customer events retrieved successfully","data":{"events":[{"date":"2025-12-09","event_id":"a","customer_id":2942,"event_type":"PAGE_VIEW","product_id":null,"event_timestamp":"2025-12-09T18:18:50.850395Z","ingestion_timestamp":"2025-12-09T18:18:50.850395Z"},{"date":"2025-12-09","event_id":"b","customer_id":2942,"event_type":"CART_ADD","product_id":7,"event_timestamp":"2025-12-09T18:18:50.850395Z","ingestion_timestamp":"2025-12-09T18:18:59.149Z"}]}}"#,
        ),
        ("/healthz", r#"{"status":"success","message":"alive","data":{}}"#),
        ("/readyz", r#"{"status":"success","message":"ready","data":{"profiles":"ok","lake":"ok"}}"#),
    ];
    for (path, expected) in cases {
        let answer = api.get(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, expected), "{path}");
        assert!(answer.headers.contains("content-type: application/json"), "{path}: {}", answer.headers);
        assert!(answer.headers.contains("cache-control: no-store"), "{path}: {}", answer.headers);
    }
    api.stop().await;
}

#[tokio::test]
async fn each_error_has_the_contracts_status_and_message() {
    let api = api().await;
    let cases = [
        (
            404,
            "not-found",
            &["/customer/1", "/customer/-1", "/summary/2025-12-11", "/summary/2025-12-10/1"] as &[&str],
        ),
        (404, "not-found", &["/summary/2025-12-11/3156", "/events/1", "/events/7?toDate=2025-12-09"]),
        (
            404,
            "not-found",
            &["/events/7?fromDate=2025-12-10&toDate=2025-12-09", "/nothing", "/customer/", "/events"],
        ),
        (
            400,
            "invalid_customer_id",
            &["/customer/abc", "/customer/2147483648", "/customer/%FF", "/customer/1.5"],
        ),
        (
            400,
            "invalid_customer_id",
            &["/summary/2025-12-10/x", "/events/-2147483649", "/events/x?fromDate=x&limit=x"],
        ),
        (
            400,
            "invalid_date_format",
            &["/summary/2025-02-30", "/summary/20251210", "/summary/2025-1-1", "/summary/x/x"],
        ),
        (400, "invalid_date_format", &["/summary/%FF", "/summary/2025-12-10T00:00:00Z/3156"]),
        (
            400,
            "invalid_fromDate_format",
            &["/events/7?fromDate=2025-13-01", "/events/7?limit=0&toDate=x&fromDate=x"],
        ),
        (400, "invalid_toDate_format", &["/events/7?toDate=10-12-2025", "/events/7?limit=0&toDate=x"]),
        (
            400,
            "invalid_limit",
            &["/events/7?limit=0", "/events/7?limit=1001", "/events/7?limit=-1", "/events/7?limit=ten"],
        ),
        (
            400,
            "invalid_limit",
            &["/events/7?limit=5&limit=x", "/summary/2025-12-10?limit=0", "/summary/2025-12-10?offset=-1"],
        ),
    ];
    for (status, message, paths) in cases {
        for path in paths {
            let answer = api.get(path).await;
            let expected = format!(r#"{{"status":"error","message":"{message}","data":{{}}}}"#);
            assert_eq!((answer.status, answer.body), (status, expected), "{path}");
        }
    }
    let posted = api.send("POST", "/customer/456").await;
    assert_eq!((posted.status, posted.message().as_str()), (405, "method-not-allowed"));
    assert!(posted.headers.contains("allow: get"), "{}", posted.headers);
    api.stop().await;
}

#[tokio::test]
async fn events_come_in_the_order_of_their_time_and_reversed_when_asked() {
    let api = api().await;
    let ids = |answer: &support::Answer| -> Vec<String> {
        answer.list("events").iter().map(|event| event["event_id"].as_str().unwrap().to_owned()).collect()
    };
    let cases: [(&str, &[&str]); 6] = [
        ("/events/2942", &["a", "b", "c"]),
        ("/events/2942?fromDate=&toDate=&limit=", &["a", "b", "c"]),
        ("/events/2942?order=desc", &["c", "b", "a"]),
        ("/events/2942?limit=1", &["a"]),
        ("/events/2942?limit=2&order=desc&unknown=x", &["c", "b"]),
        ("/events/2942?fromDate=2025-12-10", &["c"]),
    ];
    for (path, expected) in cases {
        assert_eq!(ids(&api.get(path).await), expected, "{path}");
    }
    api.stop().await;
}

#[tokio::test]
async fn people_and_prometheus_have_their_pages() {
    let api = api().await;
    let home = api.get("/").await;
    assert_eq!(home.status, 200);
    assert!(home.headers.contains("content-type: text/html") && home.body.contains("/events/"));
    let metrics = api.get("/metrics").await;
    assert!(metrics.headers.contains("content-type: text/plain"));
    assert!(
        metrics.body.contains(r#"tributary_api_requests_total{route="/customer/{id}",status="200"}"#),
        "{}",
        metrics.body
    );
    assert!(!metrics.body.contains("/customer/456"), "a customer is no label");
    api.stop().await;
}
