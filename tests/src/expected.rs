//! What the pipelines should have written: the contract once more, in SQL, with none of their code.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Row};

use crate::shop::Shop;

/// Judges every transaction and customer.
const JUDGED: &str = include_str!("judged.sql");

/// A row of `customer_profile`, without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the contract's columns
pub struct Profile {
    pub name: String,
    pub email: String,
    pub gender: String,
    /// With its scale.
    pub total_spend: String,
    pub total_transactions: i64,
    /// With its scale.
    pub avg_order_value: String,
    pub first_purchase_ms: i64,
    pub last_purchase_ms: i64,
    pub favorite_category: String,
}

/// Date and customer.
pub type SummaryKey = (String, i64);

/// A row of `txn_summary`, without its key.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the contract's columns
pub struct Summary {
    pub total_amount: f64,
    pub total_items: i64,
    pub distinct_products: i64,
    pub top_category: String,
}

/// A key of `etl_quarantine`: entity and id.
pub type QuarantineKey = (String, Option<i64>);

/// Quarantined keys with all their reasons.
pub type Quarantine = BTreeMap<QuarantineKey, BTreeSet<String>>;

/// What an amount other than qty × price means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amounts {
    /// A warning.
    Warned,
    /// A rejection.
    Strict,
}

/// The profile of each accepted customer with an accepted transaction.
pub async fn profiles(shop: &Shop) -> BTreeMap<i32, Profile> {
    let rows = query(
        shop,
        Amounts::Warned,
        ", sums AS (
           SELECT customer_id, SUM(amount) AS spend, COUNT(*) AS transactions,
             CAST(SUM(amount) * 100 AS SIGNED) AS cents,
             CAST(FLOOR(MIN(UNIX_TIMESTAMP(txn_timestamp)) * 1000) AS SIGNED) AS first_ms,
             CAST(FLOOR(MAX(UNIX_TIMESTAMP(txn_timestamp)) * 1000) AS SIGNED) AS last_ms
           FROM accepted GROUP BY customer_id),
         favorites AS (
           SELECT customer_id, category,
             ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY COUNT(*) DESC, category) AS place
           FROM accepted GROUP BY customer_id, category)
         SELECT s.customer_id, COALESCE(p.name, ''), p.email, CAST(p.gender AS CHAR), CAST(s.spend AS CHAR),
           s.transactions, (2 * s.cents + s.transactions) DIV (2 * s.transactions) AS avg_cents,
           s.first_ms, s.last_ms, CONVERT(f.category USING utf8mb4)
         FROM sums s
         JOIN people p ON p.customer_id = s.customer_id AND p.reasons = ''
         JOIN favorites f ON f.customer_id = s.customer_id AND f.place = 1",
    );
    let profile = |row: &MySqlRow| Profile {
        name: row.get(1),
        email: row.get(2),
        gender: row.get(3),
        total_spend: row.get(4),
        total_transactions: row.get(5),
        avg_order_value: {
            let cents: i64 = row.get(6);
            format!("{}.{:02}", cents / 100, cents % 100)
        },
        first_purchase_ms: row.get(7),
        last_purchase_ms: row.get(8),
        favorite_category: row.get(9),
    };
    rows.await.iter().map(|row| (row.get(0), profile(row))).collect()
}

/// The summary of each customer and date.
pub async fn summaries(shop: &Shop, amounts: Amounts) -> BTreeMap<SummaryKey, Summary> {
    let rows = query(
        shop,
        amounts,
        ", days AS (
           SELECT DATE(txn_timestamp) AS day, customer_id, SUM(amount) AS amount, CAST(SUM(qty) AS SIGNED) AS items,
             COUNT(DISTINCT product_id) AS products
           FROM accepted GROUP BY DATE(txn_timestamp), customer_id),
         tops AS (
           SELECT DATE(txn_timestamp) AS day, customer_id, category, ROW_NUMBER() OVER (
             PARTITION BY DATE(txn_timestamp), customer_id ORDER BY SUM(qty) DESC, category) AS place
           FROM accepted GROUP BY DATE(txn_timestamp), customer_id, category)
         SELECT CAST(d.day AS CHAR), CAST(d.customer_id AS SIGNED), CAST(d.amount AS CHAR), d.items, d.products,
           CONVERT(t.category USING utf8mb4)
         FROM days d JOIN tops t ON t.day = d.day AND t.customer_id = d.customer_id AND t.place = 1",
    );
    let summary = |row: &MySqlRow| Summary {
        total_amount: row.get::<String, _>(2).parse().unwrap(),
        total_items: row.get(3),
        distinct_products: row.get(4),
        top_category: row.get(5),
    };
    rows.await.iter().map(|row| ((row.get(0), row.get(1)), summary(row))).collect()
}

/// How many accepted transactions have an amount other than qty × price.
pub async fn mismatches(shop: &Shop) -> i64 {
    query(shop, Amounts::Warned, "SELECT COUNT(*) FROM accepted WHERE mismatch").await[0].get(0)
}

/// Every transaction that is not accepted, and the rows without an id as one key.
pub async fn rejected_transactions(shop: &Shop, amounts: Amounts) -> Quarantine {
    let rejected = query(
        shop,
        amounts,
        "SELECT 'transaction', txn_id, GROUP_CONCAT(reasons) FROM judged WHERE reasons <> '' GROUP BY txn_id
         UNION ALL
         SELECT 'transaction', NULL, 'null_id' FROM transactions WHERE txn_id IS NULL GROUP BY txn_id",
    );
    rejected.await.iter().map(quarantined).collect()
}

/// Every customer with an accepted transaction whose own row is not accepted, and the rows without an id as one key.
pub async fn rejected_customers(shop: &Shop) -> Quarantine {
    let rejected = query(
        shop,
        Amounts::Warned,
        "SELECT 'customer', CAST(customer_id AS SIGNED), GROUP_CONCAT(reasons) FROM people
         WHERE reasons <> '' AND customer_id IN (SELECT customer_id FROM accepted) GROUP BY customer_id
         UNION ALL
         SELECT 'customer', NULL, 'null_id' FROM customers WHERE customer_id IS NULL GROUP BY customer_id",
    );
    rejected.await.iter().map(quarantined).collect()
}

/// What stands in `etl_quarantine` for a pipeline, `A` or `B`.
pub async fn quarantine(shop: &Shop, pipeline: char) -> Quarantine {
    let sql = format!(
        "SELECT entity, entity_id, CAST(reasons AS CHAR), detail FROM etl_quarantine WHERE pipeline = '{pipeline}'"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&shop.db).await.unwrap();
    let mut found = Quarantine::new();
    for row in &rows {
        let reasons: Vec<String> = serde_json::from_str(row.get(2)).unwrap();
        let detail: serde_json::Value = serde_json::from_str(row.get(3)).unwrap();
        assert!(detail.is_object(), "the detail is for people: {detail}");
        let key = (row.get(0), row.get(1));
        assert!(
            found.insert(key, reasons.into_iter().collect()).is_none(),
            "a key is there twice: {found:?}"
        );
    }
    found
}

async fn query(shop: &Shop, amounts: Amounts, select: &str) -> Vec<MySqlRow> {
    let strict = if amounts == Amounts::Strict { "TRUE" } else { "FALSE" };
    let sql = format!("{}\n{select}", JUDGED.replace("@strict", strict));
    let rows = sqlx::query(AssertSqlSafe(&*sql)).fetch_all(&shop.db).await;
    rows.unwrap_or_else(|error| panic!("{error} in\n{sql}"))
}

fn quarantined(row: &MySqlRow) -> (QuarantineKey, BTreeSet<String>) {
    let reasons: String = row.get(2);
    ((row.get(0), row.get(1)), reasons.split(',').map(str::to_owned).collect())
}
