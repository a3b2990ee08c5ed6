//! The form of every JSON answer.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use crate::error::ApiError;

/// `{"status","message","data"}`.
#[derive(Serialize)]
struct Envelope<'a, T> {
    status: &'a str,
    message: &'a str,
    data: T,
}

/// An object without fields, the `data` of errors.
#[derive(Serialize)]
pub struct NoData {}

/// A 200 answer.
pub fn success<T: Serialize>(message: &str, data: &T) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(&Envelope { status: "success", message, data })
        .map_err(|error| ApiError::Internal(format!("cannot write the answer as JSON: {error}")))?;
    Ok(json(StatusCode::OK, body.into()))
}

/// An error answer; `data` is `{}` but for the details of readiness.
pub fn error<T: Serialize>(status: StatusCode, message: &str, data: &T) -> Response {
    let body = serde_json::to_vec(&Envelope { status: "error", message, data })
        .expect("an error's fields are strings");
    json(status, body.into())
}

/// What comes before and after the elements of `data.<list>`, for answers that are written piece by piece.
pub fn around_list(message: &str, list: &str) -> (String, &'static str) {
    (format!(r#"{{"status":"success","message":"{message}","data":{{"{list}":["#), "]}}")
}

/// A JSON answer with this body.
pub fn json(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
