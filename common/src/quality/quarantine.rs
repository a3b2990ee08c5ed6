//! A key in quarantine.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use super::{Reason, Reasons};
use crate::schema::{Customer, SignupDate, Transaction};

/// Characters of a text that are shown.
const SHOWN_CHARS: usize = 500;

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

    /// The entity of this [`Entity::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Customer, Self::Transaction].into_iter().find(|entity| entity.name() == name)
    }

    /// A key as its own table has it: those of transactions are unsigned.
    #[must_use]
    pub fn shown_id(self, id: i64) -> i128 {
        match self {
            Self::Customer => id.into(),
            Self::Transaction => id.cast_unsigned().into(),
        }
    }
}

/// One row of `etl_quarantine`. It holds the row as it was read; the text for people is made when it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct QuarantineEntry {
    /// What the key is a key of.
    pub entity: Entity,
    /// The key, for the rows whose key is null `None`. An unsigned id beyond `BIGINT` is its two's complement.
    pub id: Option<i64>,
    /// Every reason that holds.
    pub reasons: Reasons,
    values: Values,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    Transaction(Transaction),
    Customer(Box<Customer>),
    /// So many rows.
    Rows(u64),
}

/// What a quarantined key's entry says, in a few bytes: enough to tell whether it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarantined {
    /// Why.
    pub reasons: Reasons,
    detail: u64,
}

impl Quarantined {
    /// What an entry with this text says.
    #[must_use]
    pub fn new(reasons: Reasons, detail: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        detail.hash(&mut hasher);
        Self { reasons, detail: hasher.finish() }
    }

    /// Whether `entry` says the same. Of several rows with one id any may be the one whose values are shown.
    #[must_use]
    pub fn says(self, entry: &QuarantineEntry) -> bool {
        let said = Self::new(entry.reasons, &entry.detail());
        self == said || (self.reasons == said.reasons && self.reasons.contains(Reason::DuplicateId))
    }
}

impl QuarantineEntry {
    /// A transaction that is not accepted.
    #[must_use]
    pub fn transaction(row: &Transaction, reasons: Reasons) -> Self {
        let id = Some(row.txn_id.0.cast_signed());
        Self { entity: Entity::Transaction, id, reasons, values: Values::Transaction(row.clone()) }
    }

    /// A customer whose profile is not written.
    #[must_use]
    pub fn customer(row: &Customer, reasons: Reasons) -> Self {
        let id = Some(row.customer_id.0.into());
        Self { entity: Entity::Customer, id, reasons, values: Values::Customer(Box::new(row.clone())) }
    }

    /// The rows of `entity` whose key is null, `count` of them.
    #[must_use]
    pub fn null_keys(entity: Entity, count: u64) -> Self {
        let reasons = [Reason::NullId].into_iter().collect();
        Self { entity, id: None, reasons, values: Values::Rows(count) }
    }

    /// What it is an entry of.
    #[must_use]
    pub fn key(&self) -> (Entity, Option<i64>) {
        (self.entity, self.id)
    }

    /// The row's values as JSON, for the person who mends them.
    #[must_use]
    pub fn detail(&self) -> String {
        let detail = match &self.values {
            Values::Transaction(row) => json!({
                "customer_id": row.customer_id,
                "product_id": row.product_id,
                "qty": row.qty,
                "amount": row.amount.map(|amount| amount.to_string()),
                "txn_timestamp": row.at.map(|at| at.to_rfc3339()),
            }),
            Values::Customer(row) => json!({
                "name": row.name.as_deref().map(beginning),
                "email": row.email.as_deref().map(beginning),
                "gender": row.gender.as_deref().map(beginning),
                "signup_date": match row.signup_date {
                    SignupDate::Null => Value::Null,
                    SignupDate::Invalid => json!("not a date"),
                    SignupDate::Date(date) => json!(date),
                },
            }),
            Values::Rows(count) => json!({ "rows": count }),
        };
        detail.to_string()
    }
}

/// Of a long text enough to recognise it by: the column for the values does not hold all that a source's may.
fn beginning(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARS) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TxnId;

    fn entry(reason: Reason, qty: i32) -> QuarantineEntry {
        let row = Transaction {
            txn_id: TxnId(3),
            customer_id: None,
            product_id: None,
            qty: Some(qty),
            amount: None,
            at: None,
        };
        QuarantineEntry::transaction(&row, [reason].into_iter().collect())
    }

    #[test]
    fn other_reasons_or_values_are_another_thing_said() {
        let standing = entry(Reason::NonPositiveQty, 0);
        let standing = Quarantined::new(standing.reasons, &standing.detail());
        assert!(standing.says(&entry(Reason::NonPositiveQty, 0)));
        assert!(!standing.says(&entry(Reason::NonPositiveQty, -1)));
        assert!(!standing.says(&entry(Reason::NonPositiveAmount, 0)));
    }

    #[test]
    fn of_a_long_text_the_beginning_is_kept() {
        assert_eq!(beginning("ü"), "ü");
        assert_eq!(beginning(&"ü".repeat(70_000)).chars().count(), SHOWN_CHARS + 1);
    }

    #[test]
    fn any_of_the_rows_that_share_an_id_may_stand_for_them() {
        let standing = entry(Reason::DuplicateId, 1);
        let standing = Quarantined::new(standing.reasons, &standing.detail());
        assert!(standing.says(&entry(Reason::DuplicateId, 2)));
    }
}
