//! Which rows are accepted, and why others are not.

mod customer;
mod quarantine;
mod transaction;

pub use customer::{CustomerWarning, judge_customer};
pub use quarantine::{Entity, QuarantineEntry, Quarantined};
pub use transaction::{Catalog, CatalogProduct, judge_transaction};

use serde::{Deserialize, Serialize};

/// Why a row is quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The primary key is null.
    NullId,
    /// Several rows have this primary key; none of them is taken.
    DuplicateId,
    /// Null, or not an e-mail address.
    InvalidEmail,
    /// Null, or none of `M`, `F`, `O`.
    InvalidGender,
    /// A zero date or not a date.
    InvalidSignupDate,
    /// The customer is null or does not exist.
    UnknownCustomer,
    /// The product is null or does not exist.
    UnknownProduct,
    /// Null, zero or negative.
    NonPositiveQty,
    /// No amount of money: null, zero, negative, with parts of a cent, or above 10¹⁶.
    NonPositiveAmount,
    /// Null, a zero date or not a time.
    InvalidTimestamp,
    /// `amount ≠ qty × price`, where that is asked to be strict.
    AmountMismatch,
}

impl Reason {
    const ALL: [Self; 11] = [
        Self::NullId,
        Self::DuplicateId,
        Self::InvalidEmail,
        Self::InvalidGender,
        Self::InvalidSignupDate,
        Self::UnknownCustomer,
        Self::UnknownProduct,
        Self::NonPositiveQty,
        Self::NonPositiveAmount,
        Self::InvalidTimestamp,
        Self::AmountMismatch,
    ];

    /// The reason with this [`Reason::code`].
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The codes of all reasons.
    #[must_use]
    pub fn codes() -> Vec<&'static str> {
        Self::ALL.into_iter().map(Self::code).collect()
    }

    /// The code in quarantine rows, reports and metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NullId => "null_id",
            Self::DuplicateId => "duplicate_id",
            Self::InvalidEmail => "invalid_email",
            Self::InvalidGender => "invalid_gender",
            Self::InvalidSignupDate => "invalid_signup_date",
            Self::UnknownCustomer => "unknown_customer",
            Self::UnknownProduct => "unknown_product",
            Self::NonPositiveQty => "non_positive_qty",
            Self::NonPositiveAmount => "non_positive_amount",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::AmountMismatch => "amount_mismatch",
        }
    }
}

/// All the reasons that hold for a row; none means that it is accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reasons(u16);

impl Reasons {
    /// Adds `reason` if it `holds`.
    pub fn note(&mut self, reason: Reason, holds: bool) {
        self.0 |= u16::from(holds) << reason as u16;
    }

    /// Whether no reason holds.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `reason` holds.
    #[must_use]
    pub fn contains(self, reason: Reason) -> bool {
        self.0 & (1 << reason as u16) != 0
    }

    /// The reasons, in the order of their declaration.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::ALL.into_iter().filter(move |reason| self.contains(*reason))
    }
}

impl FromIterator<Reason> for Reasons {
    fn from_iter<I: IntoIterator<Item = Reason>>(reasons: I) -> Self {
        let mut all = Self::default();
        reasons.into_iter().for_each(|reason| all.note(reason, true));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_keeps_all_its_reasons_and_codes_are_the_serialised_names() {
        let reasons: Reasons = Reason::ALL.into_iter().collect();
        assert_eq!(reasons.iter().collect::<Vec<_>>(), Reason::ALL);
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.code());
        }
    }
}
