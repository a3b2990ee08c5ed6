//! The records that move between programs.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Primary key of `transactions`. MySQL's BIGINT may be unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TxnId(pub u64);

/// Primary key of `customers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CustomerId(pub i32);

/// Primary key of `products`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProductId(pub i32);

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A row of `transactions` as it stands in the source, which may break every promise of its schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// `txn_id`; rows without one are never read as transactions.
    pub txn_id: TxnId,
    /// `customer_id`; `None` when null or not an `INT`.
    pub customer_id: Option<CustomerId>,
    /// `product_id`; `None` when null or not an `INT`.
    pub product_id: Option<ProductId>,
    /// `qty`; `None` when null or not an `INT`.
    pub qty: Option<i32>,
    /// `amount`, exact; `None` when null or not a number.
    pub amount: Option<Decimal>,
    /// `txn_timestamp` in UTC; `None` when null, a zero date or not a time.
    pub at: Option<DateTime<Utc>>,
}

/// A row of `customers` as it stands in the source.
#[derive(Debug, Clone, PartialEq)]
pub struct Customer {
    /// `customer_id`.
    pub customer_id: CustomerId,
    /// `name`.
    pub name: Option<String>,
    /// `email`.
    pub email: Option<String>,
    /// `gender`.
    pub gender: Option<String>,
    /// `signup_date`.
    pub signup_date: SignupDate,
}

/// What stands in `signup_date`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignupDate {
    /// Null.
    Null,
    /// A zero date or not a date at all.
    Invalid,
    /// A date.
    Date(NaiveDate),
}

/// A row of `products`, as far as the pipelines need it.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// `product_id`.
    pub product_id: ProductId,
    /// `category`.
    pub category: Option<String>,
    /// `price`, exact; `None` when null or not a number.
    pub price: Option<Decimal>,
}

/// Pipeline A's result: a row of `customer_profile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerProfile {
    /// Primary key.
    pub customer_id: CustomerId,
    /// Empty where the source has none.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// `M`, `F` or `O`.
    pub gender: String,
    /// Σ amount, scale 2.
    pub total_spend: Decimal,
    /// Accepted transactions.
    pub total_transactions: i32,
    /// `total_spend / total_transactions`, scale 2, half up.
    pub avg_order_value: Decimal,
    /// Time of the first accepted transaction.
    pub first_purchase: DateTime<Utc>,
    /// Time of the last accepted transaction.
    pub last_purchase: DateTime<Utc>,
    /// Category of most transactions; ties by name, ascending.
    pub favorite_category: String,
}
