//! What goes wrong, for clients and for the operator.

use std::io;
use std::net::SocketAddr;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::lake::LakeError;
use common::profiles::ProfilesError;
use common::run::{Exit, JobError};
use common::telemetry::TelemetryError;

use crate::api_keys::KeysError;
use crate::envelope::{self, NoData};

/// Seconds after which a client may try again.
const RETRY_AFTER: &str = "2";

/// An answer that is not a success. What a client sees is [`ApiError::message`] alone; the rest is logged.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("there is nothing here")]
    NotFound,
    #[error("this path is only read")]
    MethodNotAllowed,
    #[error("the date is not YYYY-MM-DD")]
    InvalidDate,
    #[error("fromDate is not YYYY-MM-DD")]
    InvalidFromDate,
    #[error("toDate is not YYYY-MM-DD")]
    InvalidToDate,
    #[error("limit or offset is not a number in its range")]
    InvalidLimit,
    #[error("the customer id is not a 32-bit integer")]
    InvalidCustomerId,
    #[error("the request has no key")]
    NoKey,
    #[error("the request's key is not known")]
    UnknownKey,
    #[error("the path is too long")]
    PathTooLong,
    #[error("{0}")]
    Internal(String),
    #[error("{0}")]
    Unavailable(String),
}

impl ApiError {
    /// The contract's status and message.
    pub fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
            Self::InvalidDate => (StatusCode::BAD_REQUEST, "invalid_date_format"),
            Self::InvalidFromDate => (StatusCode::BAD_REQUEST, "invalid_fromDate_format"),
            Self::InvalidToDate => (StatusCode::BAD_REQUEST, "invalid_toDate_format"),
            Self::InvalidLimit => (StatusCode::BAD_REQUEST, "invalid_limit"),
            Self::InvalidCustomerId => (StatusCode::BAD_REQUEST, "invalid_customer_id"),
            Self::NoKey | Self::UnknownKey => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::PathTooLong => (StatusCode::URI_TOO_LONG, "path-too-long"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal-error"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match &self {
            Self::Internal(reason) => tracing::error!("{reason}"),
            Self::Unavailable(reason) => tracing::warn!("{reason}"),
            _ => {}
        }
        let (status, message) = self.answer();
        let mut response = envelope::error(status, message, &NoData {});
        let more = match self {
            Self::Unavailable(_) => Some((header::RETRY_AFTER, RETRY_AFTER)),
            Self::NoKey => Some((header::WWW_AUTHENTICATE, "Bearer")),
            Self::UnknownKey => Some((header::WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#)),
            _ => None,
        };
        if let Some((name, value)) = more {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl From<LakeError> for ApiError {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::Damaged { .. } | LakeError::Address(_) | LakeError::Conflict(_) => {
                Self::Internal(error.to_string())
            }
            // Refused is a setting that the operator corrects; until then the store is not there for clients.
            LakeError::Refused { .. } | LakeError::Unavailable { .. } | LakeError::Changed(_) => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}

impl From<ProfilesError> for ApiError {
    fn from(error: ProfilesError) -> Self {
        match error {
            ProfilesError::ReadBack { .. } | ProfilesError::TermOver => Self::Internal(error.to_string()),
            ProfilesError::Settings { .. } | ProfilesError::Unavailable { .. } => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}

/// The API could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be taken.
    #[error("cannot listen on {address}: {source}; is another program there? Choose another with --listen")]
    Listen {
        /// As it was given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Other machines could read profiles without a key.
    #[error(
        "{address} can be reached from other machines, and profiles hold names and e-mails: give --api-keys-file, \
         or --insecure where something else protects it, or listen on 127.0.0.1"
    )]
    Exposed {
        /// As it was taken.
        address: SocketAddr,
    },
    /// Nobody could be let in.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// SIGHUP cannot be listened for.
    #[error("cannot listen for SIGHUP: {0}")]
    Signal(io::Error),
    /// The lake's address is wrong.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Metrics cannot be collected.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
}

impl JobError for ServeError {
    fn exit(&self) -> Exit {
        match self {
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Exit::Failed,
            Self::Lake(error) if error.retryable() => Exit::Failed,
            Self::Listen { .. } | Self::Exposed { .. } | Self::Keys(_) | Self::Lake(_) => Exit::Usage,
            Self::Telemetry(_) | Self::Signal(_) => Exit::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_down_is_503_and_a_damaged_file_is_500() {
        let down = LakeError::Unavailable { action: "list".into(), reason: "refused".into() };
        let damaged = LakeError::Damaged { path: "events/x.parquet".into(), reason: "no footer".into() };
        assert_eq!(ApiError::from(down).answer(), (StatusCode::SERVICE_UNAVAILABLE, "unavailable"));
        assert_eq!(
            ApiError::from(LakeError::Changed("x".into())).answer().0,
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(ApiError::from(damaged).answer(), (StatusCode::INTERNAL_SERVER_ERROR, "internal-error"));
    }
}
