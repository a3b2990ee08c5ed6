//! How a date's file can differ from the source.

use std::fmt;

use chrono::NaiveDate;
use common::schema::CustomerId;
use common::verify::{Column, QuarantineDifference};
use serde::Serialize;

/// Something in the lake that is not what the source gives, or a key that is wrongly in or out of quarantine.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Difference {
    /// A file.
    File {
        /// `file_missing`, `file_extra`, `file_unreadable`, `file_schema` or `file_unsorted`.
        difference: &'static str,
        /// Where it is or should be, below the lake.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A row.
    Row {
        /// `row_missing`, `row_extra` or `row`.
        difference: &'static str,
        /// Of which date.
        date: NaiveDate,
        /// Whose; `None` where the file says null.
        customer_id: Option<CustomerId>,
        /// What differs.
        columns: Vec<Column>,
    },
    /// A key of the quarantine.
    Quarantine(QuarantineDifference),
}

impl Difference {
    /// A difference of a whole file.
    pub fn file(difference: &'static str, path: &str, reason: impl Into<String>) -> Self {
        Self::File { difference, path: path.to_owned(), reason: reason.into() }
    }
}

impl From<QuarantineDifference> for Difference {
    fn from(difference: QuarantineDifference) -> Self {
        Self::Quarantine(difference)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quarantine(difference) => difference.fmt(f),
            Self::File { path, reason, .. } => write!(f, "{path} {reason}"),
            Self::Row { difference, date, customer_id, columns } => {
                let customer = customer_id.map_or_else(|| "null".to_owned(), |id| id.to_string());
                write!(f, "{date} customer {customer}")?;
                match *difference {
                    "row_missing" => f.write_str(" has no row, but should"),
                    "row_extra" => f.write_str(" has a row too many"),
                    _ => {
                        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
                        write!(f, ": {}", columns.join("; "))
                    }
                }
            }
        }
    }
}
