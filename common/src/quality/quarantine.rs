//! A key in quarantine.

use serde_json::{Map, Value, json};

use super::Reasons;
use crate::schema::{Customer, SignupDate, Transaction};

/// What a quarantined key is a key of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// A row of `customers`.
    Customer,
    /// A row of `transactions`.
    Transaction,
}

impl Entity {
    /// The name in `etl_quarantine.entity`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Transaction => "transaction",
        }
    }
}

/// One row of `etl_quarantine`.
#[derive(Debug, Clone, PartialEq)]
pub struct QuarantineEntry {
    /// What the key is a key of.
    pub entity: Entity,
    /// The key, for the rows whose key is null `None`. An unsigned id beyond `BIGINT` is its two's complement.
    pub id: Option<i64>,
    /// Every reason that holds.
    pub reasons: Reasons,
    /// The row's values as JSON, for the person who mends them.
    pub detail: String,
}

impl QuarantineEntry {
    /// A transaction that is not accepted.
    #[must_use]
    pub fn transaction(row: &Transaction, reasons: Reasons) -> Self {
        let detail = json!({
            "customer_id": row.customer_id,
            "product_id": row.product_id,
            "qty": row.qty,
            "amount": row.amount.map(|amount| amount.to_string()),
            "txn_timestamp": row.at.map(|at| at.to_rfc3339()),
        });
        Self {
            entity: Entity::Transaction,
            id: Some(row.txn_id.0.cast_signed()),
            reasons,
            detail: detail.to_string(),
        }
    }

    /// A customer whose profile is not written.
    #[must_use]
    pub fn customer(row: &Customer, reasons: Reasons) -> Self {
        let mut detail = Map::new();
        detail.insert("name".to_owned(), json!(row.name));
        detail.insert("email".to_owned(), json!(row.email));
        detail.insert("gender".to_owned(), json!(row.gender));
        let signup = match row.signup_date {
            SignupDate::Null => Value::Null,
            SignupDate::Invalid => json!("not a date"),
            SignupDate::Date(date) => json!(date),
        };
        detail.insert("signup_date".to_owned(), signup);
        Self {
            entity: Entity::Customer,
            id: Some(row.customer_id.0.into()),
            reasons,
            detail: Value::Object(detail).to_string(),
        }
    }

    /// The rows of `entity` whose key is null, `count` of them.
    #[must_use]
    pub fn null_keys(entity: Entity, count: u64) -> Self {
        let reasons = [super::Reason::NullId].into_iter().collect();
        Self { entity, id: None, reasons, detail: json!({ "rows": count }).to_string() }
    }
}
