//! What happens around every request: deadline, panics, headers, metrics, log.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use common::run::Stopwatch;
use futures::FutureExt;

use crate::error::ApiError;

/// A client that waits longer has no use for the answer, and a store that needs longer counts as down.
const DEADLINE: Duration = Duration::from_secs(10);

/// Runs the request; whatever happens, the client gets an answer in the contract's form.
pub async fn observe(request: Request, next: Next) -> Response {
    let watch = Stopwatch::start();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let answer = AssertUnwindSafe(tokio::time::timeout(DEADLINE, next.run(request))).catch_unwind().await;
    let mut response = match answer {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            ApiError::Unavailable(format!("{method} {path} took longer than {DEADLINE:?}")).into_response()
        }
        Err(_) => ApiError::Internal(format!("{method} {path} panicked")).into_response(),
    };
    // Answers change with every commit, and profiles are nobody else's business.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));

    let status = response.status();
    // The route, not the path: a label for each customer would never end.
    let route = route.as_ref().map_or("other", MatchedPath::as_str).to_owned();
    metrics::counter!("tributary_api_requests_total", "route" => route.clone(), "status" => status.as_str().to_owned())
        .increment(1);
    metrics::histogram!("tributary_api_request_duration_seconds", "route" => route)
        .record(watch.elapsed().as_secs_f64());
    tracing::debug!(%method, path, status = status.as_u16(), duration_ms = watch.elapsed_ms(), "request");
    response
}
