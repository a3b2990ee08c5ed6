//! `seed` and `append` on a real SQLite file.
#![allow(clippy::unwrap_used)] // in what tests share, too, it fails the test

use chrono::{DateTime, Utc};
use clap::Parser;
use common::run::{Clock, Exit, JobError, Shutdown};
use producer::{AppendConfig, Cli, Command, Progress, SeedConfig, append, seed};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tempfile::TempDir;

const NOW: &str = "2025-12-12T10:30:00Z";

fn clock() -> Clock {
    Clock::fixed(NOW.parse::<DateTime<Utc>>().unwrap())
}

fn url(dir: &TempDir) -> String {
    format!("sqlite://{}", dir.path().join("shop.db").display())
}

fn seed_config(dir: &TempDir, more: &[&str]) -> SeedConfig {
    let url = url(dir);
    let line = [
        "producer",
        "seed",
        "--source",
        &url,
        "--customers",
        "50",
        "--products",
        "10",
        "--transactions",
        "20000",
    ];
    match Cli::try_parse_from(line.iter().chain(more)).unwrap().command {
        Command::Seed(config) => config,
        other => panic!("{other:?}"),
    }
}

fn append_config(dir: &TempDir) -> AppendConfig {
    match Cli::try_parse_from(["producer", "append", "--source", &url(dir), "--per-day", "30"])
        .unwrap()
        .command
    {
        Command::Append(config) => config,
        other => panic!("{other:?}"),
    }
}

async fn run_seed(config: &SeedConfig) -> Result<producer::SeedSummary, producer::ProducerError> {
    seed(config, &clock(), &Shutdown::manual(), &Progress::Hidden).await
}

async fn open(dir: &TempDir) -> SqliteConnection {
    SqliteConnectOptions::new().filename(dir.path().join("shop.db")).connect().await.unwrap()
}

async fn number(db: &mut SqliteConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(db).await.unwrap()
}

/// Σ of (amount − qty × price), in cents, over all rows, each rounded to a whole cent from its text.
const WRONG_AMOUNTS: &str = "SELECT COUNT(*) FROM transactions JOIN products USING (product_id) \
    WHERE CAST(REPLACE(amount, '.', '') AS INTEGER) <> qty * CAST(REPLACE(price, '.', '') AS INTEGER) \
       OR amount NOT LIKE '%.__' OR typeof(amount) <> 'text' OR typeof(price) <> 'text'";

#[tokio::test]
async fn seed_makes_the_tables_whole_and_exact() {
    let dir = tempfile::tempdir().unwrap();
    let summary = run_seed(&seed_config(&dir, &[])).await.unwrap();
    assert_eq!((summary.customers, summary.products, summary.transactions), (50, 10, 20_000));
    let mut db = open(&dir).await;
    for (expected, sql) in [
        (50, "SELECT COUNT(*) FROM customers"),
        (10, "SELECT COUNT(*) FROM products"),
        (20_000, "SELECT COUNT(*) FROM transactions"),
        (20_000, "SELECT MAX(txn_id) FROM transactions"),
        (0, "SELECT COUNT(*) FROM profile_offsets"),
        (0, "SELECT COUNT(*) FROM txn_summary_offsets"),
        (0, "SELECT COUNT(*) FROM pragma_foreign_key_check"),
        (2, "SELECT COUNT(*) FROM pragma_foreign_key_list('transactions')"),
        (
            0,
            "SELECT COUNT(*) FROM transactions a JOIN transactions b ON b.txn_id = a.txn_id + 1 AND b.txn_timestamp < a.txn_timestamp",
        ),
        (
            0,
            "SELECT COUNT(*) FROM transactions WHERE txn_timestamp NOT BETWEEN '2020-01-01 00:00:00' AND '2025-12-11 23:59:59'",
        ),
        (
            0,
            "SELECT COUNT(*) FROM transactions JOIN customers USING (customer_id) WHERE signup_date > txn_timestamp",
        ),
        (0, WRONG_AMOUNTS),
    ] {
        assert_eq!(number(&mut db, sql).await, expected, "{sql}");
    }
    let indexed: Vec<String> = sqlx::query_scalar(
        "SELECT i.name FROM pragma_index_list('transactions') l, pragma_index_info(l.name) i ORDER BY 1",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    assert_eq!(indexed, ["customer_id", "product_id", "txn_timestamp"]);
}

#[tokio::test]
async fn the_same_arguments_give_the_same_rows() {
    let rows = async |more: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        run_seed(&seed_config(&dir, more)).await.unwrap();
        let sql = "SELECT txn_id || ' ' || customer_id || ' ' || product_id || ' ' || qty || ' ' || amount || ' ' || txn_timestamp FROM transactions ORDER BY txn_id";
        sqlx::query_scalar::<_, String>(sql).fetch_all(&mut open(&dir).await).await.unwrap()
    };
    assert_eq!(rows(&[]).await, rows(&["--to", "2025-12-12"]).await);
    assert_ne!(rows(&[]).await, rows(&["--seed-value", "43"]).await);
}

#[tokio::test]
async fn rows_are_replaced_only_on_demand_and_then_with_all_that_depends_on_them() {
    let dir = tempfile::tempdir().unwrap();
    run_seed(&seed_config(&dir, &[])).await.unwrap();
    let mut db = open(&dir).await;
    sqlx::raw_sql(
        "INSERT INTO profile_offsets VALUES ('transactions', 7); CREATE TABLE etl_gaps (a); CREATE TABLE etlish (a);
         DELETE FROM transactions; PRAGMA foreign_keys = OFF; INSERT INTO transactions VALUES (1, 99, 99, 1, 'x', 'y')",
    )
    .execute(&mut db)
    .await
    .unwrap();

    let refused = run_seed(&seed_config(&dir, &[])).await.unwrap_err();
    assert_eq!(refused.exit(), Exit::Failed);
    assert!(refused.to_string().contains("--replace"), "{refused}");
    assert_eq!(number(&mut db, "SELECT COUNT(*) FROM transactions").await, 1);

    run_seed(&seed_config(&dir, &["--replace"])).await.unwrap();
    assert_eq!(number(&mut db, "SELECT COUNT(*) FROM transactions").await, 20_000);
    assert_eq!(number(&mut db, "SELECT COUNT(*) FROM profile_offsets").await, 0);
    let left: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE name LIKE 'etl%'")
        .fetch_all(&mut db)
        .await
        .unwrap();
    assert_eq!(left, ["etlish"]);
}

#[tokio::test]
async fn both_can_be_spawned() {
    let dir = tempfile::tempdir().unwrap();
    let (config, more) = (seed_config(&dir, &[]), append_config(&dir));
    let done = tokio::spawn(async move {
        seed(&config, &clock(), &Shutdown::manual(), &Progress::Hidden).await?;
        append(&more, &clock(), &Shutdown::manual()).await
    });
    assert_eq!(done.await.unwrap().unwrap().transactions, 60);
}

#[tokio::test]
async fn a_shutdown_leaves_nothing_half_made() {
    let dir = tempfile::tempdir().unwrap();
    let shutdown = Shutdown::manual();
    shutdown.request();
    let stopped = seed(&seed_config(&dir, &[]), &clock(), &shutdown, &Progress::Hidden).await.unwrap_err();
    assert!(stopped.interrupted() && stopped.exit() == Exit::Done);
    run_seed(&seed_config(&dir, &[])).await.unwrap();
}

#[tokio::test]
async fn append_adds_yesterday_and_today_up_to_now() {
    let dir = tempfile::tempdir().unwrap();
    run_seed(&seed_config(&dir, &["--to", "2025-12-01"])).await.unwrap();
    let mut db = open(&dir).await;
    // Ids and prices are taken from the tables, not guessed.
    sqlx::raw_sql(
        "PRAGMA foreign_keys = OFF; DELETE FROM transactions WHERE txn_id < 20000; UPDATE transactions SET customer_id = 3;
         DELETE FROM customers WHERE customer_id <> 3; UPDATE products SET price = '19.90'",
    )
    .execute(&mut db)
    .await
    .unwrap();
    for expected in [60, 120] {
        let summary = append(&append_config(&dir), &clock(), &Shutdown::manual()).await.unwrap();
        assert_eq!(summary.transactions, 60);
        assert_eq!(number(&mut db, "SELECT COUNT(*) FROM transactions WHERE txn_id > 20000").await, expected);
    }
    for (expected, sql) in [
        (20_120, "SELECT MAX(txn_id) FROM transactions"),
        (60, "SELECT COUNT(*) FROM transactions WHERE txn_timestamp LIKE '2025-12-11 %'"),
        (
            60,
            "SELECT COUNT(*) FROM transactions WHERE txn_timestamp BETWEEN '2025-12-12 00:00:00' AND '2025-12-12 10:30:00'",
        ),
        (121, "SELECT COUNT(*) FROM transactions WHERE customer_id = 3"),
        (
            120,
            "SELECT COUNT(*) FROM transactions WHERE txn_id > 20000 AND amount IN ('19.90', '39.80', '59.70', '79.60', '99.50')",
        ),
    ] {
        assert_eq!(number(&mut db, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn append_without_a_shop_says_to_seed_first() {
    let dir = tempfile::tempdir().unwrap();
    let no_file = append(&append_config(&dir), &clock(), &Shutdown::manual()).await.unwrap_err();
    assert!(no_file.to_string().contains("cannot open"), "{no_file}");
    std::fs::write(dir.path().join("shop.db"), b"").unwrap();
    let no_tables = append(&append_config(&dir), &clock(), &Shutdown::manual()).await.unwrap_err();
    assert!(no_tables.to_string().contains("producer seed"), "{no_tables}");
}
