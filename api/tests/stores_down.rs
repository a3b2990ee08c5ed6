//! The API without its stores, and the program around it.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::run::Stopwatch;
use support::{SummaryRow, TestApi, profile, request, summary_file, until, write_profiles};

#[tokio::test]
async fn without_the_profile_store_the_rest_works_and_profiles_come_back_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("not there yet");
    let database = place.join("profiles.db");
    let api = TestApi::with_profiles(folder, &format!("sqlite://{}", database.display())).await;
    api.write(
        "txn_summary/date=2025-01-01/part-00000.parquet",
        summary_file(&[SummaryRow(1, 1.0, 1, 1, "A")], 9),
    )
    .await;

    let answer = api.get("/customer/456").await;
    assert_eq!((answer.status, answer.message().as_str()), (503, "unavailable"));
    assert!(answer.headers.contains("retry-after: "), "{}", answer.headers);
    let ready = api.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["data"]["profiles"]), (503, &"unreachable".into()));
    assert_eq!(api.get("/summary/2025-01-01/1").await.status, 200);
    assert_eq!(api.get("/healthz").await.status, 200);

    std::fs::create_dir(&place).unwrap();
    write_profiles(&database, &[profile(456)]).await;
    until(&api, "/customer/456", Duration::from_secs(20), |answer| answer.status == 200).await;
    api.stop().await;
}

/// The program with stores where nobody listens.
fn program() -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_api"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--profiles",
            "cassandra://127.0.0.1:1/shop",
            "--lake",
            "s3://lake/x",
        ])
        .envs([("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_REGION", "us-east-1")])
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "s3cret")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap().parse().unwrap();
    (child, address)
}

#[test]
fn the_program_answers_without_any_store_and_a_signal_ends_it() {
    let (mut child, address) = program();
    assert_eq!(request(address, "GET", "/healthz").status, 200);
    for path in ["/customer/1", "/events/1", "/summary/2025-01-01"] {
        let answer = request(address, "GET", path);
        assert_eq!((answer.status, answer.message().as_str()), (503, "unavailable"), "{path}");
        assert!(answer.headers.contains("retry-after: "), "{}", answer.headers);
    }
    let watch = Stopwatch::start();
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(watch.elapsed() < Duration::from_secs(10));
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(!log.contains("s3cret") && !log.contains("panicked"), "{log}");
}

#[test]
fn an_address_that_is_taken_ends_with_1_and_one_that_is_none_with_2() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let cases = [(taken.local_addr().unwrap().to_string(), 1), ("nowhere".to_owned(), 2)];
    for (listen, code) in cases {
        let ended = Command::new(env!("CARGO_BIN_EXE_api"))
            .args(["--listen", &listen, "--profiles", "sqlite:///nowhere/x.db", "--lake", "file:///tmp"])
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(code), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}
