//! The API under more than it takes on.

use tempfile::TempDir;
use tests::api::Api;
use tests::program::Program;
use tokio::net::TcpListener;

/// An S3 that takes connections and never answers, and the API before it with room for one request.
async fn before_a_silent_store(folder: &TempDir) -> (TcpListener, Api) {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let profiles = format!("sqlite://{}", folder.path().join("profiles.db").display());
    let program: Program = Api::program(&profiles, "s3://lake/x")
        .args(["--max-in-flight", "1", "--request-timeout", "2s"])
        .env("AWS_ENDPOINT_URL", &format!("http://{}", silent.local_addr().unwrap()));
    (silent, Api::start_as(program).await)
}

#[tokio::test]
async fn one_request_too_many_is_refused_at_once_and_a_slow_one_in_time() {
    let folder = TempDir::new().unwrap();
    let (silent, api) = before_a_silent_store(&folder).await;
    let unavailable = r#"{"status":"error","message":"unavailable","data":{}}"#;
    let slow = api.get("/events/1");
    let meanwhile = async {
        // It waits for the store now.
        let waiting = silent.accept().await.unwrap();
        let refused = api.get("/events/2").await;
        assert_eq!((refused.status, refused.body.as_str()), (503, unavailable));
        assert!(refused.head.contains("retry-after: "), "{refused:?}");
        let metrics = api.get("/metrics").await.body;
        assert!(metrics.contains("tributary_api_overloaded_requests_total 1"), "{metrics}");
        assert_eq!(api.get("/healthz").await.status, 200);
        waiting
    };
    let (slow, _waiting) = tokio::join!(slow, meanwhile);
    assert_eq!((slow.status, slow.body.as_str()), (503, unavailable));
    assert!(slow.head.contains("retry-after: "), "{slow:?}");
    let metrics = api.get("/metrics").await.body;
    assert!(metrics.contains("tributary_api_overloaded_requests_total 1"), "{metrics}");
    assert_eq!(api.terminate().await.code, 0);
}

#[tokio::test]
async fn an_overlong_path_and_an_overlong_head_are_refused() {
    let folder = TempDir::new().unwrap();
    let (_silent, api) = before_a_silent_store(&folder).await;
    let path = api.get(&format!("/events/1?limit={}", "1".repeat(3_000))).await;
    let body = r#"{"status":"error","message":"path-too-long","data":{}}"#;
    assert_eq!((path.status, path.body.as_str()), (414, body));
    let many = "X: y\r\n".repeat(100);
    assert_eq!(api.get_with("/healthz", &many).await.status, 431);
    let long = format!("X: {}\r\n", "y".repeat(20_000));
    assert_eq!(api.get_with("/healthz", &long).await.status, 431);
    assert_eq!(api.get("/healthz").await.status, 200);
    assert_eq!(api.terminate().await.code, 0);
}
