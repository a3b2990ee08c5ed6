//! What can go wrong with the lake, and whether to try again.

use crate::settings::SecretUrl;

/// A lake operation failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LakeError {
    /// The address is not one of a lake.
    #[error("{0} is not a lake: s3://bucket/prefix or file:///abs/dir")]
    Address(SecretUrl),
    /// The object was replaced or removed while it was being read: read it again.
    #[error("{0} was replaced or removed while it was read")]
    Changed(String),
    /// Another writer was first.
    #[error("{0} is not what this write expected to replace: another writer was first")]
    Conflict(String),
    /// The content is not what its name says.
    #[error("{path} cannot be read: {reason}")]
    Damaged {
        /// Which object.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store refused: wrong bucket, credentials or rights. Trying again will not help.
    #[error("cannot {action}: {reason}")]
    Refused {
        /// What was tried, on what.
        action: String,
        /// The store's answer.
        reason: String,
    },
    /// The store did not answer or had an error of its own, after retries.
    #[error("cannot {action}: {reason}; the store may be down or full, try again later")]
    Unavailable {
        /// What was tried, on what.
        action: String,
        /// What happened.
        reason: String,
    },
}

impl LakeError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Changed(_))
    }
}

impl From<LakeError> for parquet::errors::ParquetError {
    fn from(error: LakeError) -> Self {
        Self::External(Box::new(error))
    }
}
