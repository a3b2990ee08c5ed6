//! How much is taken on: requests at the same time, and the length of what they ask.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;

use crate::error::ApiError;

/// The contract's longest path with its query takes some 100 bytes.
const LONGEST_PATH: usize = 2_048;

/// Answers what comes while all slots are taken with 503. A streamed answer holds its slot to its end.
pub async fn in_flight(State(slots): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(slot) = slots.try_acquire_owned() else {
        metrics::counter!("tributary_api_overloaded_requests_total").increment(1);
        return ApiError::Unavailable("too many requests in flight; see --max-in-flight".to_owned())
            .into_response();
    };
    let response = next.run(request).await;
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &slot;
            frame
        }))
    })
}

/// Refuses paths that no client of this API has a use for.
pub async fn path_length(request: Request, next: Next) -> Response {
    let length = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if length > LONGEST_PATH { ApiError::PathTooLong.into_response() } else { next.run(request).await }
}
