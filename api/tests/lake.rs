//! What is read from the lake, and what happens when it changes under the reader.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Read;
use std::time::Duration;

use common::run::Stopwatch;
use support::{EventRow, SummaryRow, TestApi, event, events_file, summary_file, until};

/// `n` customers with `each` events on a day, times descending inside a customer.
fn day(date: &str, n: i32, each: i64) -> Vec<EventRow> {
    let start: chrono::DateTime<chrono::Utc> = format!("{date}T00:00:00Z").parse().unwrap();
    let customers = (0..n).flat_map(|customer| (0..each).rev().map(move |at| (customer, at)));
    customers
        .map(|(customer, at)| {
            let mut row = event(&format!("{date}-{customer}-{at:04}"), customer, &start.to_rfc3339());
            row.at += chrono::Duration::seconds(at * 60);
            row
        })
        .collect()
}

#[tokio::test]
async fn a_customer_is_found_in_every_file_row_group_and_page() {
    let api = TestApi::start().await;
    // Row groups of 500 rows and pages of 100: customers begin, end and lie across both.
    for date in ["2025-01-01", "2025-01-02", "2025-01-03"] {
        let (even, odd): (Vec<_>, Vec<_>) =
            day(date, 60, 33).into_iter().enumerate().partition(|(at, _)| at % 2 == 0);
        for (name, rows) in [("t-0-0", even), ("t-1-0", odd)] {
            let file = events_file(rows.into_iter().map(|(_, row)| row).collect(), 500);
            api.write(&format!("events/event_date={date}/{name}.parquet"), file).await;
        }
    }
    for customer in 0..60 {
        let events = api.get(&format!("/events/{customer}?limit=1000")).await.list("events");
        let ids: Vec<String> =
            events.iter().map(|event| event["event_id"].as_str().unwrap().to_owned()).collect();
        let expected: Vec<String> = ["2025-01-01", "2025-01-02", "2025-01-03"]
            .iter()
            .flat_map(|date| (0..33).map(move |at| format!("{date}-{customer}-{at:04}")))
            .collect();
        assert_eq!(ids, expected);
    }
    assert_eq!(api.get("/events/60").await.status, 404);
    assert_eq!(api.get("/events/-1").await.status, 404);
    api.stop().await;
}

#[tokio::test]
async fn no_more_dates_are_read_than_the_limit_needs() {
    let api = TestApi::start().await;
    let dates: Vec<String> = (1..=28).map(|day| format!("2025-02-{day:02}")).collect();
    for date in &dates {
        api.write(&format!("events/event_date={date}/t-0-0.parquet"), events_file(day(date, 2, 5), 500))
            .await;
    }
    // Whoever reads this one gets an error.
    api.write("events/event_date=2025-03-31/t-0-0.parquet", b"PAR1 is not all of it PAR1".to_vec()).await;
    assert_eq!(api.get("/events/1?limit=12").await.list("events").len(), 12);
    assert_eq!(api.get("/events/1?toDate=2025-02-28&order=desc").await.list("events").len(), 100);
    let all = api.get("/events/1?limit=1000").await;
    assert_eq!((all.status, all.message().as_str()), (500, "internal-error"));
    api.stop().await;
}

#[tokio::test]
async fn a_file_replaced_between_listing_and_reading_is_read_again() {
    let api = TestApi::start().await;
    let path = "events/event_date=2025-01-01/t-0-0.parquet";
    for round in 1..=5 {
        let before = events_file(day("2025-01-01", 200, 100 + round), 500);
        assert!(before.len() > 600_000, "more than is read for one customer: {}", before.len());
        api.write(path, before).await;
        // This gets the listing, the footer and the customer's own part of the file.
        assert_eq!(api.get(&format!("/events/{round}")).await.status, 200, "round {round}");
        api.write(path, events_file(day("2025-01-01", 200, 101 + round), 500)).await;
        let events = api.get(&format!("/events/{}?limit=1000", 200 - round)).await.list("events");
        assert_eq!(i64::try_from(events.len()).unwrap(), 101 + round, "the new content, in one piece");
    }
    let metrics = api.get("/metrics").await.body;
    assert!(metrics.contains("tributary_api_replaced_reads_total"), "{metrics}");
    api.stop().await;
}

#[tokio::test]
async fn a_commit_shows_within_five_seconds_and_a_removed_date_goes() {
    let api = TestApi::start().await;
    assert_eq!(api.get("/events/1").await.status, 404);
    assert_eq!(api.get("/summary/2025-01-01").await.status, 404);
    api.write("events/event_date=2025-01-01/t-0-0.parquet", events_file(day("2025-01-01", 3, 1), 500)).await;
    let rows = [SummaryRow(1, 10.5, 1, 1, "Sports")];
    api.write("txn_summary/date=2025-01-01/part-00000.parquet", summary_file(&rows, 500)).await;
    let watch = Stopwatch::start();
    let patience = Duration::from_secs(5);
    until(&api, "/events/1", patience, |answer| answer.status == 200).await;
    until(&api, "/summary/2025-01-01/1", patience.saturating_sub(watch.elapsed()), |answer| {
        answer.status == 200
    })
    .await;

    let path = "txn_summary/date=2025-01-01/part-00000.parquet";
    let standing = api.lake.head(path).await.unwrap().unwrap();
    api.lake.delete(path, &standing.version).await.unwrap();
    until(&api, "/summary/2025-01-01", patience, |answer| answer.status == 404).await;
    api.stop().await;
}

#[tokio::test]
async fn a_large_day_is_read_in_parts() {
    let api = TestApi::start().await;
    let rows: Vec<SummaryRow> =
        (0..120_000).map(|at| SummaryRow(at * 2, f64::from(at) + 0.25, at, 1, "Sports")).collect();
    api.write("txn_summary/date=2025-01-01/part-00000.parquet", summary_file(&rows, 50_000)).await;
    let all = api.get("/summary/2025-01-01").await.list("summaries");
    assert_eq!(all.len(), 120_000);
    assert!(
        all.iter()
            .zip(&rows)
            .all(|(found, row)| found["customer_id"] == row.0 && found["total_amount"] == row.1)
    );
    let part = api.get("/summary/2025-01-01?offset=99999&limit=20000").await.list("summaries");
    assert_eq!((part.len(), part[0].clone()), (20_000, all[99_999].clone()));
    assert_eq!(api.get("/summary/2025-01-01?offset=120000").await.list("summaries").len(), 0);
    let one = api.get("/summary/2025-01-01/100000").await.json();
    assert_eq!(one["data"]["summary"], all[50_000]);
    assert_eq!(api.get("/summary/2025-01-01/100001").await.status, 404);
    api.stop().await;
}

#[tokio::test]
async fn a_large_day_replaced_while_it_is_sent_goes_on_behind_the_last_customer_sent() {
    const CUSTOMERS: i32 = 200_000;
    let api = TestApi::start().await;
    let path = "txn_summary/date=2025-01-01/part-00000.parquet";
    let file = |version: f64| {
        let rows = (0..CUSTOMERS).map(|id| SummaryRow(id, f64::from(id) + version, 1, 1, "Sports"));
        summary_file(&rows.collect::<Vec<_>>(), 10_000)
    };
    api.write(path, file(0.25)).await;
    let after = file(0.75);

    // More than the sockets hold, so the rest waits to be read from the file until the client reads on.
    let mut connection = api.begin("/summary/2025-01-01?limit=199999");
    let begun = tokio::task::spawn_blocking(move || {
        let mut answer = vec![0; 65_536];
        connection.read_exact(&mut answer).unwrap();
        (connection, answer)
    });
    let (mut connection, mut answer) = begun.await.unwrap();
    api.write(path, after).await;
    let ended = tokio::task::spawn_blocking(move || {
        connection.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    });
    let answer = ended.await.unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    let rows = json["data"]["summaries"].as_array().unwrap();
    assert_eq!(rows.len(), 199_999);
    let mut switched = 0;
    for (id, row) in (0..CUSTOMERS).zip(rows) {
        assert_eq!(row["customer_id"], id);
        if row["total_amount"] == f64::from(id) + 0.75 {
            switched += 1;
        } else {
            assert_eq!((switched, row["total_amount"].as_f64()), (0, Some(f64::from(id) + 0.25)));
        }
    }
    assert!(switched > 0 && switched < CUSTOMERS, "{switched} rows of the new version");
    api.stop().await;
}

#[tokio::test]
async fn a_damaged_file_is_an_internal_error_and_the_rest_goes_on() {
    let api = TestApi::start().await;
    let wrong_columns = summary_file(&[SummaryRow(1, 1.0, 1, 1, "Sports")], 500);
    api.write("events/event_date=2025-01-01/t-0-0.parquet", wrong_columns).await;
    api.write("txn_summary/date=2025-01-01/part-00000.parquet", b"no parquet at all".to_vec()).await;
    api.write(
        "txn_summary/date=2025-01-02/part-00000.parquet",
        summary_file(&[SummaryRow(1, 1.0, 1, 1, "A")], 500),
    )
    .await;
    for path in ["/events/1", "/summary/2025-01-01", "/summary/2025-01-01/1"] {
        let answer = api.get(path).await;
        assert_eq!((answer.status, answer.message().as_str()), (500, "internal-error"), "{path}");
        assert!(!answer.body.contains("parquet"), "what is wrong is for the log: {}", answer.body);
    }
    assert_eq!(api.get("/summary/2025-01-02/1").await.status, 200);
    api.stop().await;
}
