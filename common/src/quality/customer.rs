//! The checks of a customer's own row.

use super::{Reason, Reasons};
use crate::schema::{Customer, SignupDate};

/// Odd, but no reason to leave the customer out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomerWarning {
    /// `name` is null and is written as the empty string.
    NullName,
    /// `signup_date` is null.
    NullSignupDate,
}

impl CustomerWarning {
    /// The code in reports.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NullName => "null_name",
            Self::NullSignupDate => "null_signup_date",
        }
    }
}

/// All reasons for which a customer's profile is not written, and the warnings.
///
/// That the id is unique is for the caller to see: it takes all the rows.
#[must_use]
pub fn judge_customer(row: &Customer) -> (Reasons, Vec<CustomerWarning>) {
    let mut reasons = Reasons::default();
    reasons.note(Reason::InvalidEmail, !row.email.as_deref().is_some_and(is_email));
    reasons.note(Reason::InvalidGender, !matches!(row.gender.as_deref(), Some("M" | "F" | "O")));
    reasons.note(Reason::InvalidSignupDate, row.signup_date == SignupDate::Invalid);
    let mut warnings = Vec::new();
    if row.name.is_none() {
        warnings.push(CustomerWarning::NullName);
    }
    if row.signup_date == SignupDate::Null {
        warnings.push(CustomerWarning::NullSignupDate);
    }
    (reasons, warnings)
}

/// One `@`, something before it, and a domain of at least two non-empty labels behind it; no white space.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    !local.is_empty()
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
        && !domain.contains('@')
        && domain.contains('.')
        && domain.split('.').all(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::CustomerId;
    use chrono::NaiveDate;

    fn good() -> Customer {
        Customer {
            customer_id: CustomerId(1),
            name: Some("Customer_1".into()),
            email: Some("customer_1@example.com".into()),
            gender: Some("O".into()),
            signup_date: SignupDate::Date(NaiveDate::MAX),
        }
    }

    #[test]
    fn each_broken_promise_is_a_reason() {
        let cases: [(&str, Customer, Vec<Reason>); 7] = [
            ("good", good(), vec![]),
            ("null email", Customer { email: None, ..good() }, vec![Reason::InvalidEmail]),
            ("null gender", Customer { gender: None, ..good() }, vec![Reason::InvalidGender]),
            ("other gender", Customer { gender: Some("X".into()), ..good() }, vec![Reason::InvalidGender]),
            (
                "lower-case gender",
                Customer { gender: Some("m".into()), ..good() },
                vec![Reason::InvalidGender],
            ),
            (
                "zero date",
                Customer { signup_date: SignupDate::Invalid, ..good() },
                vec![Reason::InvalidSignupDate],
            ),
            (
                "everything",
                Customer {
                    email: Some(String::new()),
                    gender: Some(String::new()),
                    signup_date: SignupDate::Invalid,
                    ..good()
                },
                vec![Reason::InvalidEmail, Reason::InvalidGender, Reason::InvalidSignupDate],
            ),
        ];
        for (name, row, expected) in cases {
            assert_eq!(judge_customer(&row).0.iter().collect::<Vec<_>>(), expected, "{name}");
        }
    }

    #[test]
    fn nulls_that_do_no_harm_are_warnings() {
        let row = Customer { name: None, signup_date: SignupDate::Null, ..good() };
        let (reasons, warnings) = judge_customer(&row);
        assert!(reasons.is_empty());
        assert_eq!(warnings, [CustomerWarning::NullName, CustomerWarning::NullSignupDate]);
    }

    #[test]
    fn what_is_an_email() {
        for good in ["a@b.c", "first.last+tag@sub.example.com", "ü@exämple.de"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "a", "@b.c", "a@", "a@b", "a@b.", "a@.c", "a@b..c", "a b@c.d", "a@b@c.d", "a@b.c\n"] {
            assert!(!is_email(bad), "{bad:?}");
        }
    }
}
