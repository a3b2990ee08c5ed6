//! The form of every JSON answer.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;

/// The form of a 200 answer.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)] // for its schema
pub struct Success<'a, T> {
    status: Succeeded,
    message: &'a str,
    data: T,
}

/// The form of any other answer.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)] // for its schema
pub struct Failure<'a, T> {
    status: Failed,
    message: &'a str,
    data: T,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Succeeded {
    Success,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Failed {
    Error,
}

/// An object without fields, the `data` of errors.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)] // for its schema
pub struct NoData {}

/// A 200 answer.
pub fn success<T: Serialize>(message: &str, data: &T) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(&Success { status: Succeeded::Success, message, data })
        .map_err(|error| ApiError::Internal(format!("cannot write the answer as JSON: {error}")))?;
    Ok(json(StatusCode::OK, body.into()))
}

/// An error answer; `data` is `{}` but for the details of readiness.
pub fn error<T: Serialize>(status: StatusCode, message: &str, data: &T) -> Response {
    let body = serde_json::to_vec(&Failure { status: Failed::Error, message, data })
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
