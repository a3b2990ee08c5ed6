//! A source and a profile store in `SQLite` files, and the same computation once more in its SQL.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tempfile::TempDir;

use crate::expected::{Profile, Summary, SummaryKey};
use crate::shop::Sizes;

/// A folder with a source, a profile store and a lake; it is removed at the end.
#[derive(Debug)]
pub struct Files {
    /// The folder.
    pub folder: TempDir,
}

impl Files {
    /// A folder whose source `producer seed` has filled.
    pub async fn seeded(sizes: &Sizes) -> Self {
        let files = Self { folder: TempDir::with_prefix("tributary files ").unwrap() };
        sizes.seed(&files.source()).await;
        files
    }

    /// The source's address.
    #[must_use]
    pub fn source(&self) -> String {
        self.url("sqlite", "shop.db")
    }

    /// The profile store's address.
    #[must_use]
    pub fn profile_store(&self) -> String {
        self.url("sqlite", "profiles.db")
    }

    /// The lake's address.
    #[must_use]
    pub fn lake(&self) -> String {
        self.url("file", "lake")
    }

    fn url(&self, scheme: &str, name: &str) -> String {
        let path = self.folder.path().join(name);
        format!("{scheme}://{}", path.to_str().unwrap().replace(' ', "%20"))
    }

    /// The profile that each customer should have. The seed's rows are all good.
    pub async fn expected_profiles(&self) -> BTreeMap<i32, Profile> {
        self.profiles_by(
            "shop.db",
            "WITH sales AS (
               SELECT t.customer_id, p.category, CAST(ROUND(CAST(t.amount AS REAL) * 100) AS INTEGER) AS cents,
                 unixepoch(t.txn_timestamp) * 1000 AS at_ms
               FROM transactions t JOIN products p USING (product_id)),
             favorites AS (
               SELECT customer_id, category,
                 ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY COUNT(*) DESC, category) AS place
               FROM sales GROUP BY customer_id, category)
             SELECT customer_id, c.name, c.email, c.gender, printf('%d.%02d', SUM(cents) / 100, SUM(cents) % 100), COUNT(*),
               (2 * SUM(cents) + COUNT(*)) / (2 * COUNT(*)) AS average, MIN(at_ms), MAX(at_ms), f.category
             FROM sales JOIN customers c USING (customer_id) JOIN favorites f USING (customer_id)
             WHERE f.place = 1 GROUP BY customer_id",
        )
        .await
    }

    /// The profiles that stand.
    pub async fn profiles(&self) -> BTreeMap<i32, Profile> {
        self.profiles_by(
            "profiles.db",
            "SELECT customer_id, name, email, gender, total_spend, total_transactions,
               CAST(REPLACE(avg_order_value, '.', '') AS INTEGER), unixepoch(first_purchase) * 1000,
               unixepoch(last_purchase) * 1000, favorite_category FROM customer_profile",
        )
        .await
    }

    async fn profiles_by(&self, file: &str, sql: &'static str) -> BTreeMap<i32, Profile> {
        let rows = sqlx::query(sql).fetch_all(&self.open(file).await).await.unwrap();
        let profile = |row: &sqlx::sqlite::SqliteRow| Profile {
            name: row.get(1),
            email: row.get(2),
            gender: row.get(3),
            total_spend: row.get(4),
            total_transactions: row.get(5),
            avg_order_value: row.get::<i64, _>(6).to_string(),
            first_purchase_ms: row.get(7),
            last_purchase_ms: row.get(8),
            favorite_category: row.get(9),
        };
        rows.iter().map(|row| (row.get(0), profile(row))).collect()
    }

    /// The summary that each customer and date should have.
    pub async fn expected_summaries(&self) -> BTreeMap<SummaryKey, Summary> {
        let sql = "WITH sales AS (
               SELECT date(t.txn_timestamp) AS day, t.customer_id, t.product_id, t.qty, p.category,
                 CAST(ROUND(CAST(t.amount AS REAL) * 100) AS INTEGER) AS cents
               FROM transactions t JOIN products p USING (product_id)),
             tops AS (
               SELECT day, customer_id, category,
                 ROW_NUMBER() OVER (PARTITION BY day, customer_id ORDER BY SUM(qty) DESC, category) AS place
               FROM sales GROUP BY day, customer_id, category)
             SELECT day, customer_id, SUM(cents) / 100.0, SUM(qty), COUNT(DISTINCT product_id), t.category
             FROM sales JOIN tops t USING (day, customer_id) WHERE t.place = 1 GROUP BY day, customer_id";
        let rows = sqlx::query(sql).fetch_all(&self.open("shop.db").await).await.unwrap();
        let summary = |row: &sqlx::sqlite::SqliteRow| Summary {
            total_amount: row.get(2),
            total_items: row.get(3),
            distinct_products: row.get(4),
            top_category: row.get(5),
        };
        rows.iter().map(|row| ((row.get(0), row.get(1)), summary(row))).collect()
    }

    /// Changes something in one of the databases.
    pub async fn run(&self, file: &str, sql: &'static str) {
        let options = SqliteConnectOptions::new().filename(self.folder.path().join(file));
        sqlx::query(sql).execute(&SqlitePool::connect_with(options).await.unwrap()).await.unwrap();
    }

    async fn open(&self, file: &str) -> SqlitePool {
        let options = SqliteConnectOptions::new().filename(self.folder.path().join(file)).read_only(true);
        SqlitePool::connect_with(options).await.unwrap()
    }
}
