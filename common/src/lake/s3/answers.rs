//! What an answer of the store means.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::lake::{Expect, LakeError};

/// A conditional write beside ours, which tells nothing of what stands there.
pub(super) fn is_in_the_way<E>(error: &SdkError<E>) -> bool {
    status(error) == Some(409)
}

/// 412: the condition does not hold. 404 with a condition: it was removed.
pub(super) fn lost_race<E>(error: &SdkError<E>, expect: &Expect) -> bool {
    match status(error) {
        Some(412) => true,
        Some(404) => matches!(expect, Expect::Version(_)),
        _ => false,
    }
}

pub(super) fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

pub(super) fn fault<E: ProvideErrorMetadata + std::error::Error + 'static>(
    action: String,
    error: &SdkError<E>,
) -> LakeError {
    let reason = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => innermost(error),
    };
    match error {
        SdkError::ConstructionFailure(_) => LakeError::Refused { action, reason },
        _ => match status(error) {
            Some(400..=407 | 410..=428) => LakeError::Refused { action, reason },
            _ => LakeError::Unavailable { action, reason },
        },
    }
}

/// What really happened: the SDK wraps "connection refused" in many layers.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
