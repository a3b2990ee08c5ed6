//! How a run of pipeline B can end badly.

use chrono::NaiveDate;
use common::batch::BatchError;
use common::lake::LakeError;
use common::run::{Exit, JobError};
use common::source::SourceError;
use rust_decimal::Decimal;

/// A run of pipeline B did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What ends any batch: lock, signal, source, gate.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The sums before and after do not agree.
    #[error(
        "accepted transactions of {date} amount to {accepted}, their summaries to {written}; the date is left as it was"
    )]
    NotConserved {
        /// Which date.
        date: NaiveDate,
        /// Σ amount of the accepted transactions.
        accepted: Decimal,
        /// Σ amount of the summaries.
        written: Decimal,
    },
    /// A file does not hold what was written.
    #[error("{path} holds {found} rows after the write, {wanted} were written")]
    ReadBack {
        /// Which file.
        path: String,
        /// Rows by its footer.
        found: i64,
        /// Rows that were written.
        wanted: usize,
    },
    /// The summaries of a date could not be made or encoded.
    #[error(
        "the summary of {date} cannot be made: {reason}; its file is left as it was, the other dates are up to date, and \
         the offset stays until the rows are corrected"
    )]
    Summary {
        /// Which date.
        date: NaiveDate,
        /// Why.
        reason: String,
    },
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Self::Batch(error.into())
    }
}

impl JobError for Error {
    fn exit(&self) -> Exit {
        match self {
            Self::Batch(error) => error.exit(),
            Self::Lake(LakeError::Address(_) | LakeError::Refused { .. }) => Exit::Usage,
            // Files of other dates may be replaced already, so "refused", which means untouched, would not be true.
            Self::Lake(_) | Self::ReadBack { .. } | Self::NotConserved { .. } | Self::Summary { .. } => {
                Exit::Failed
            }
        }
    }

    fn interrupted(&self) -> bool {
        matches!(self, Self::Batch(error) if error.interrupted())
    }
}
