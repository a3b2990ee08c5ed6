//! What the pipelines should have written: the contract once more, in SQL, with none of their code.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Decode, MySql, Row, Type};

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
    let sums = query(
        shop,
        Amounts::Warned,
        "SELECT customer_id, CAST(SUM(amount) AS CHAR), COUNT(*),
           (2 * CAST(SUM(amount) * 100 AS SIGNED) + COUNT(*)) DIV (2 * COUNT(*)) AS average_cents,
           CAST(FLOOR(MIN(UNIX_TIMESTAMP(txn_timestamp)) * 1000) AS SIGNED),
           CAST(FLOOR(MAX(UNIX_TIMESTAMP(txn_timestamp)) * 1000) AS SIGNED)
         FROM accepted GROUP BY customer_id",
    );
    let favorites = query(
        shop,
        Amounts::Warned,
        "SELECT customer_id, CONVERT(category USING utf8mb4) FROM (
           SELECT customer_id, category,
             ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY COUNT(*) DESC, category) AS place
           FROM accepted GROUP BY customer_id, category) ranked
         WHERE place = 1",
    );
    let people = query(
        shop,
        Amounts::Warned,
        "SELECT customer_id, COALESCE(name, ''), email, CAST(gender AS CHAR) FROM people WHERE reasons = ''",
    );
    let (sums, favorites, people) = (by::<i32>(sums.await), by::<i32>(favorites.await), people.await);
    let with_purchase = people.iter().filter_map(|person| {
        let id: i32 = person.get(0);
        Some((id, person, sums.get(&id)?))
    });
    let profile = |(id, person, sum): (i32, &MySqlRow, &MySqlRow)| {
        let cents: i64 = sum.get(3);
        let profile = Profile {
            name: person.get(1),
            email: person.get(2),
            gender: person.get(3),
            total_spend: sum.get(1),
            total_transactions: sum.get(2),
            avg_order_value: format!("{}.{:02}", cents / 100, cents % 100),
            first_purchase_ms: sum.get(4),
            last_purchase_ms: sum.get(5),
            favorite_category: favorites[&id].get(1),
        };
        (id, profile)
    };
    with_purchase.map(profile).collect()
}

/// The summary of each customer and date.
pub async fn summaries(shop: &Shop, amounts: Amounts) -> BTreeMap<SummaryKey, Summary> {
    let days = query(
        shop,
        amounts,
        "SELECT CONCAT(DATE(txn_timestamp), ' ', customer_id), CAST(DATE(txn_timestamp) AS CHAR),
           CAST(customer_id AS SIGNED), CAST(SUM(amount) AS CHAR), CAST(SUM(qty) AS SIGNED), COUNT(DISTINCT product_id)
         FROM accepted GROUP BY DATE(txn_timestamp), customer_id",
    );
    let tops = query(
        shop,
        amounts,
        "SELECT CONCAT(day, ' ', customer_id), CONVERT(category USING utf8mb4) FROM (
           SELECT DATE(txn_timestamp) AS day, customer_id, category, ROW_NUMBER() OVER (
             PARTITION BY DATE(txn_timestamp), customer_id ORDER BY SUM(qty) DESC, category) AS place
           FROM accepted GROUP BY DATE(txn_timestamp), customer_id, category) ranked
         WHERE place = 1",
    );
    let (days, tops) = (by::<String>(days.await), by::<String>(tops.await));
    let summary = |(key, day): (String, MySqlRow)| {
        let summary = Summary {
            total_amount: day.get::<String, _>(3).parse().unwrap(),
            total_items: day.get(4),
            distinct_products: day.get(5),
            top_category: tops[&key].get(1),
        };
        ((day.get(1), day.get(2)), summary)
    };
    days.into_iter().map(summary).collect()
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
        "SELECT 'transaction', CAST(txn_id AS SIGNED), GROUP_CONCAT(reasons) FROM judged WHERE reasons <> '' GROUP BY txn_id
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

/// Aggregates are put together here, not joined: the optimizer would evaluate them again for each row.
fn by<K: Ord + for<'r> Decode<'r, MySql> + Type<MySql>>(rows: Vec<MySqlRow>) -> BTreeMap<K, MySqlRow> {
    rows.into_iter().map(|row| (row.get(0), row)).collect()
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
