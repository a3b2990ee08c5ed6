//! `GET /healthz` and `GET /readyz`

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::envelope::{self, Failure, NoData, Success};
use crate::error::ApiError;

/// Load balancers ask often and wait little.
const DEADLINE: Duration = Duration::from_secs(2);

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)] // for its schema
struct Stores {
    /// `ok` or `unreachable`
    profiles: &'static str,
    /// `ok` or `unreachable`
    lake: &'static str,
}

/// Says that the process answers; needs no store.
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "Alive", body = Success<NoData>)))]
pub async fn alive() -> Result<Response, ApiError> {
    envelope::success("alive", &NoData {})
}

/// Whether the stores can be reached; `data` says which, the log says why not.
#[utoipa::path(
    get,
    path = "/readyz",
    responses(
        (status = 200, description = "Both stores answer", body = Success<Stores>),
        (status = 503, description = "`unavailable`: one of them does not", body = Failure<Stores>, headers(("retry-after" = u32))),
    ),
)]
pub async fn ready(State(app): State<App>) -> Result<Response, ApiError> {
    let (profiles, lake) = tokio::join!(
        tokio::time::timeout(DEADLINE, app.profiles.ping()),
        tokio::time::timeout(DEADLINE, app.lake.ping())
    );
    let stores = Stores { profiles: state("profiles", profiles), lake: state("lake", lake) };
    if stores.profiles == OK && stores.lake == OK {
        return envelope::success("ready", &stores);
    }
    let mut response = envelope::error(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &stores);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    Ok(response.into_response())
}

const OK: &str = "ok";

fn state<E: Into<ApiError>>(
    store: &str,
    ping: Result<Result<(), E>, tokio::time::error::Elapsed>,
) -> &'static str {
    match ping {
        Ok(Ok(())) => return OK,
        Ok(Err(error)) => tracing::warn!("{store} not ready: {}", error.into()),
        Err(_) => tracing::warn!("{store} not ready: no answer within {DEADLINE:?}"),
    }
    "unreachable"
}
