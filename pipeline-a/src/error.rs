//! How a run of pipeline A can end badly.

use std::fmt;
use std::ops::AddAssign;

use common::batch::BatchError;
use common::profiles::ProfilesError;
use common::run::{Exit, JobError};
use common::schema::CustomerId;
use common::source::SourceError;
use rust_decimal::Decimal;

/// A run of pipeline A did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What ends any batch: lock, signal, source, gate.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The profile store failed.
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
    /// The sums before and after do not agree.
    #[error(
        "{accepted} were accepted, but the profiles made of them hold {written}; none of these was written"
    )]
    NotConserved {
        /// Of the accepted transactions.
        accepted: Sums,
        /// Of the profiles, those withheld included.
        written: Sums,
    },
    /// A customer's row was there when the transactions were judged, and not when the profile was made.
    #[error("customer {0} was removed while the profiles were made; nothing is committed, run again")]
    Vanished(CustomerId),
    /// The sum of all does not fit a decimal.
    #[error("the accepted transactions amount to more than a decimal can hold")]
    TooMuch,
    /// A customer has more transactions than `total_transactions` holds.
    #[error("customer {0} has more transactions than a profile can hold")]
    Overflow(CustomerId),
}

/// What has to be the same before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Transactions.
    pub rows: u64,
    /// Σ amount, exact.
    pub amount: Decimal,
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.amount += other.amount;
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} transactions of {} in all", self.rows, self.amount)
    }
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
            Self::Profiles(ProfilesError::Settings { .. }) => Exit::Usage,
            Self::Profiles(_) | Self::Vanished(_) => Exit::Failed,
            Self::NotConserved { .. } | Self::Overflow(_) | Self::TooMuch => Exit::Refused,
        }
    }

    fn interrupted(&self) -> bool {
        matches!(self, Self::Batch(error) if error.interrupted())
    }
}
