//! Customers and products.

use std::collections::HashSet;
use std::fmt::Write;

use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Row};

use super::decode::SourceRow;
use super::{CustomerRange, Source, SourceError, on_pool};
use crate::schema::{Customer, CustomerId, Product, TxnId};

/// Keys in one `IN (…)` list.
pub(super) const KEYS_PER_QUERY: usize = 1_000;

impl Source {
    /// Every row of these customers; several rows of one id all come.
    pub async fn customers_by_id(&self, ids: &[CustomerId]) -> Result<Vec<Customer>, SourceError> {
        let mut customers = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(KEYS_PER_QUERY) {
            customers.extend(self.customers(&format!("WHERE customer_id IN ({})", list(chunk))).await?);
        }
        Ok(customers)
    }

    /// Every row of `customers` that has a key.
    pub async fn all_customers(&self) -> Result<Vec<Customer>, SourceError> {
        self.customers_between(CustomerRange::default()).await
    }

    /// Every row of these customers; several rows of one id all come.
    pub async fn customers_between(&self, range: CustomerRange) -> Result<Vec<Customer>, SourceError> {
        self.customers(&format!("WHERE {}", range.condition("customer_id"))).await
    }

    async fn customers(&self, condition: &str) -> Result<Vec<Customer>, SourceError> {
        on_pool!(self, |pool, dialect| {
            let sql = format!("SELECT {} FROM customers {condition}", dialect.customer_columns);
            sqlx::query(AssertSqlSafe(sql))
                .persistent(false)
                .fetch(pool)
                .try_filter_map(|row| async move { Ok(row.customer()) })
                .try_collect()
                .await
        })
        .map_err(|error| self.fault("read customers", error))
    }

    /// The ids of all customers.
    pub async fn customer_ids(&self) -> Result<HashSet<CustomerId>, SourceError> {
        on_pool!(self, |pool, dialect| {
            sqlx::query("SELECT customer_id FROM customers")
                .fetch(pool)
                .try_filter_map(|row| async move { Ok(row.int(0).map(CustomerId)) })
                .try_collect()
                .await
        })
        .map_err(|error| self.fault("read customers", error))
    }

    /// Every row of `products` that has a key.
    pub async fn products(&self) -> Result<Vec<Product>, SourceError> {
        on_pool!(self, |pool, dialect| {
            let sql = format!("SELECT {} FROM products", dialect.product_columns);
            sqlx::query(AssertSqlSafe(sql))
                .fetch(pool)
                .try_filter_map(|row| async move { Ok(row.product()) })
                .try_collect()
                .await
        })
        .map_err(|error| self.fault("read products", error))
    }

    /// Transaction ids that several rows have. Reads the whole table, so call it only where the source does
    /// not keep the ids unique ([`Source::check_schema`] tells).
    pub async fn duplicate_txn_ids(&self) -> Result<HashSet<TxnId>, SourceError> {
        on_pool!(self, |pool, dialect| {
            sqlx::query(
                "SELECT txn_id FROM transactions WHERE txn_id >= 1 GROUP BY txn_id HAVING COUNT(*) > 1",
            )
            .fetch(pool)
            .try_filter_map(|row| async move { Ok(row.integer(0).map(|id| TxnId(id.cast_unsigned()))) })
            .try_collect()
            .await
        })
        .map_err(|error| self.fault("look for repeated transaction ids", error))
    }

    /// How many rows of `customers` have no key.
    pub async fn customers_without_key(&self) -> Result<u64, SourceError> {
        self.count("SELECT COUNT(*) FROM customers WHERE customer_id IS NULL").await
    }

    /// How many rows of `transactions` have no key, or one below 1, which no offset can account for.
    pub async fn transactions_without_key(&self) -> Result<u64, SourceError> {
        self.count("SELECT COUNT(*) FROM transactions WHERE txn_id IS NULL OR txn_id < 1").await
    }

    pub(super) async fn count(&self, sql: &'static str) -> Result<u64, SourceError> {
        let count: i64 = on_pool!(self, |pool, dialect| {
            sqlx::query(sql).fetch_one(pool).await.and_then(|row| row.try_get_unchecked(0))
        })
        .map_err(|error| self.fault("count rows", error))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }
}

/// `1,2,3`. Numbers only, so it is safe inside SQL.
pub(super) fn list(ids: &[impl std::fmt::Display]) -> String {
    let mut text = String::with_capacity(ids.len() * 8);
    for id in ids {
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}{id}").expect("writing to a string does not fail");
    }
    text
}
