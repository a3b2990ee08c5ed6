//! What happens around every request: id, deadline, panics, headers, metrics, access log.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use common::run::Stopwatch;
use futures::FutureExt;
use tracing::Instrument;
use uuid::Uuid;

use crate::api_keys::Client;
use crate::error::ApiError;

/// What binds a request's log lines, its answer and the client's own log together.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client; a longer one is replaced.
const LONGEST_ID: usize = 128;

/// Of a longer path the log shows the beginning.
const LONGEST_SHOWN: usize = 256;

/// Runs the request; whatever happens, the client gets an answer in the contract's form.
pub async fn observe(State(deadline): State<Duration>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default());
    async {
        let mut response = answer(deadline, request, next).await;
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
    .instrument(span)
    .await
}

/// The client's id if it has a usable one, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let usable = |id: &&HeaderValue| {
        (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(usable).cloned().unwrap_or_else(|| {
        let id = Uuid::now_v7().simple().to_string();
        HeaderValue::try_from(id).expect("hexadecimal digits")
    })
}

async fn answer(deadline: Duration, request: Request, next: Next) -> Response {
    let watch = Stopwatch::start();
    let method = request.method().clone();
    let path: String = request.uri().path().chars().take(LONGEST_SHOWN).collect();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let answer = AssertUnwindSafe(tokio::time::timeout(deadline, next.run(request))).catch_unwind().await;
    let mut response = match answer {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            ApiError::Unavailable(format!("{method} {path} took longer than {deadline:?}")).into_response()
        }
        Err(_) => ApiError::Internal(format!("{method} {path} panicked")).into_response(),
    };
    // Answers change with every commit, and profiles are nobody else's business.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));

    let (status, seconds) = (response.status(), watch.elapsed().as_secs_f64());
    // The route, not the path: a label for each customer would never end.
    let route = route.as_ref().map_or("other", MatchedPath::as_str).to_owned();
    metrics::counter!("tributary_api_requests_total", "route" => route.clone(), "status" => status.as_str().to_owned())
        .increment(1);
    metrics::histogram!("tributary_api_request_duration_seconds", "route" => route).record(seconds);
    let client = response.extensions().get::<Client>().map(|client| client.0.as_ref());
    let ms = (seconds * 1e6).round() / 1e3;
    tracing::info!(target: "access", %method, path, status = status.as_u16(), ms, client, "answered");
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_id_is_taken_where_it_can_stand_in_a_log() {
        let id = |value: &'static [u8]| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_bytes(value).unwrap())]);
            request_id(&headers)
        };
        assert_eq!(id(b"7f3a-abc/1"), "7f3a-abc/1");
        for bad in [&b""[..], b"a b", b"caf\xc3\xa9", &[b'x'; LONGEST_ID + 1]] {
            assert_eq!(id(bad).len(), 32, "{bad:?}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
