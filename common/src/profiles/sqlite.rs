//! Profiles in an `SQLite` file, with Cassandra's columns; amounts as text, so that they stay exact.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use rust_decimal::Decimal;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, Row, Transaction};

use super::ProfilesError;
use crate::run::WriteFence;
use crate::schema::{CustomerId, CustomerProfile};
use crate::settings::SecretUrl;

const SELECT: &str = "SELECT customer_id, name, email, gender, total_spend, total_transactions, avg_order_value, \
                      first_purchase, last_purchase, favorite_category FROM customer_profile";

#[derive(Debug, Clone)]
pub(super) struct Sqlite {
    pool: SqlitePool,
    place: String,
}

impl Sqlite {
    pub(super) async fn open(url: &SecretUrl) -> Result<Self, ProfilesError> {
        let place = url.to_string();
        let options = SqliteConnectOptions::new()
            .filename(url.file_path())
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(30));
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await;
        let pool = pool.map_err(|error| fault("open the file", &place, &error))?;
        Ok(Self { pool, place })
    }

    pub(super) async fn create_table(&self) -> Result<(), ProfilesError> {
        let create = "CREATE TABLE IF NOT EXISTS customer_profile (customer_id INTEGER PRIMARY KEY, name TEXT, email TEXT, \
             gender TEXT, total_spend TEXT, total_transactions INTEGER, avg_order_value TEXT, first_purchase TEXT, \
             last_purchase TEXT, favorite_category TEXT, fence INTEGER NOT NULL)";
        sqlx::query(create)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|e| self.fault("make customer_profile", &e))
    }

    async fn has_table(&self) -> Result<bool, ProfilesError> {
        let query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'customer_profile'";
        let found = sqlx::query(query).fetch_optional(&self.pool).await;
        found.map(|row| row.is_some()).map_err(|e| self.fault("look for customer_profile", &e))
    }

    pub(super) async fn ping(&self) -> Result<(), ProfilesError> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map(drop).map_err(|e| self.fault("read", &e))
    }

    pub(super) async fn get(&self, id: CustomerId) -> Result<Option<CustomerProfile>, ProfilesError> {
        let select = format!("{SELECT} WHERE customer_id = ?");
        let row = sqlx::query(AssertSqlSafe(select))
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(|e| self.fault("read a profile", &e))?;
        row.map(|row| profile(&row)).transpose().map_err(|e| self.fault("read a profile", &e))
    }

    pub(super) async fn put(
        &self,
        profiles: &[CustomerProfile],
        fence: &WriteFence,
    ) -> Result<(), ProfilesError> {
        let mut transaction = self.begin("write profiles", fence).await?;
        let write = async {
            for p in profiles {
                sqlx::query(
                    "INSERT INTO customer_profile VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
                     ON CONFLICT (customer_id) DO UPDATE SET name = excluded.name, email = excluded.email, \
                     gender = excluded.gender, total_spend = excluded.total_spend, \
                     total_transactions = excluded.total_transactions, avg_order_value = excluded.avg_order_value, \
                     first_purchase = excluded.first_purchase, last_purchase = excluded.last_purchase, \
                     favorite_category = excluded.favorite_category, fence = excluded.fence \
                     WHERE excluded.fence >= fence",
                )
                .bind(p.customer_id.0)
                .bind(&p.name)
                .bind(&p.email)
                .bind(&p.gender)
                .bind(p.total_spend.to_string())
                .bind(p.total_transactions)
                .bind(p.avg_order_value.to_string())
                .bind(p.first_purchase.to_rfc3339())
                .bind(p.last_purchase.to_rfc3339())
                .bind(&p.favorite_category)
                .bind(fence.number())
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await
        };
        write.await.map_err(|e| self.fault("write profiles", &e))
    }

    pub(super) async fn delete(&self, ids: &[CustomerId], fence: &WriteFence) -> Result<(), ProfilesError> {
        let mut transaction = self.begin("remove profiles", fence).await?;
        let delete = async {
            for id in ids {
                sqlx::query("DELETE FROM customer_profile WHERE customer_id = ? AND fence <= ?")
                    .bind(id.0)
                    .bind(fence.number())
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await
        };
        delete.await.map_err(|e| self.fault("remove profiles", &e))
    }

    /// Waits for other writers, and begins if the term lasts until then.
    async fn begin(
        &self,
        action: &'static str,
        fence: &WriteFence,
    ) -> Result<Transaction<'_, sqlx::Sqlite>, ProfilesError> {
        let transaction = self.pool.begin_with("BEGIN IMMEDIATE").await;
        let transaction = transaction.map_err(|e| self.fault(action, &e))?;
        if fence.is_over() { Err(ProfilesError::TermOver) } else { Ok(transaction) }
    }

    pub(super) async fn ids(&self) -> Result<Vec<CustomerId>, ProfilesError> {
        if !self.has_table().await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query("SELECT customer_id FROM customer_profile").fetch_all(&self.pool).await;
        let ids = rows.and_then(|rows| rows.iter().map(|row| row.try_get(0).map(CustomerId)).collect());
        ids.map_err(|e| self.fault("list the profiles", &e))
    }

    pub(super) async fn all(
        &self,
    ) -> Result<BoxStream<'_, Result<CustomerProfile, ProfilesError>>, ProfilesError> {
        if !self.has_table().await? {
            return Ok(futures::stream::empty().boxed());
        }
        let rows = sqlx::query(SELECT).fetch(&self.pool).and_then(|row| async move { profile(&row) });
        Ok(rows.map_err(|e| self.fault("read the profiles", &e)).boxed())
    }

    fn fault(&self, action: &'static str, error: &sqlx::Error) -> ProfilesError {
        fault(action, &self.place, error)
    }
}

fn fault(action: &'static str, place: &str, error: &sqlx::Error) -> ProfilesError {
    ProfilesError::Unavailable { action, place: place.to_owned(), reason: error.to_string() }
}

fn profile(row: &SqliteRow) -> Result<CustomerProfile, sqlx::Error> {
    Ok(CustomerProfile {
        customer_id: CustomerId(row.try_get("customer_id")?),
        name: row.try_get("name")?,
        email: row.try_get("email")?,
        gender: row.try_get("gender")?,
        total_spend: decimal(row, "total_spend")?,
        total_transactions: row.try_get("total_transactions")?,
        avg_order_value: decimal(row, "avg_order_value")?,
        first_purchase: timestamp(row, "first_purchase")?,
        last_purchase: timestamp(row, "last_purchase")?,
        favorite_category: row.try_get("favorite_category")?,
    })
}

fn decimal(row: &SqliteRow, column: &str) -> Result<Decimal, sqlx::Error> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn timestamp(row: &SqliteRow, column: &str) -> Result<DateTime<Utc>, sqlx::Error> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
