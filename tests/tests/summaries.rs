//! Pipeline B on MySQL and S3: what `DuckDB` reads, row for row against SQL.

use serde_json::{Value, json};
use tests::compare::assert_same;
use tests::duckdb::Summaries;
use tests::expected::{self, Amounts};
use tests::lake::Lake;
use tests::program::Program;
use tests::shop::{Shop, Sizes, until};

/// Runs pipeline B and takes every row that it is given.
async fn run(shop: &Shop, lake: &Lake, more: &[&str]) -> Value {
    let program = Program::pipeline_b(&shop.url, &lake.url).args(["--max-quarantine-ratio", "1"]);
    program.args(more.iter().copied()).report().await
}

async fn read(lake: &Lake) -> Summaries {
    Summaries::read(lake.download().await.path()).await
}

async fn assert_as_expected(shop: &Shop, lake: &Lake, amounts: Amounts) {
    let (found, expected) = (read(lake).await, expected::summaries(shop, amounts).await);
    assert_same(&found.rows, &expected);
    let mut dates: Vec<&String> = expected.keys().map(|(date, _)| date).collect();
    dates.dedup();
    assert_eq!(found.dates().iter().collect::<Vec<_>>(), dates, "one file a date");
    let rejected = expected::rejected_transactions(shop, amounts).await;
    assert_same(&expected::quarantine(shop, 'B').await, &rejected);
}

#[tokio::test]
async fn summaries_equal_sql_a_second_run_changes_nothing_and_new_rows_replace_only_their_dates() {
    let (shop, lake) = (Shop::seeded(&Sizes::MIDDLE).await, Lake::empty().await);
    let first = run(&shop, &lake, &[]).await;
    assert_as_expected(&shop, &lake, Amounts::Warned).await;
    assert_eq!((first["status"].as_str(), first["read"].as_u64()), (Some("ok"), Some(20_000)), "{first}");
    assert_eq!(first["dates"].as_array().unwrap().len(), 20, "{first}");

    let before = lake.versions().await;
    let second = run(&shop, &lake, &[]).await;
    assert_eq!((second["status"].as_str(), &second["dates"]), (Some("idle"), &json!([])), "{second}");
    assert_same(&lake.versions().await, &before);

    shop.run(
        "INSERT INTO transactions (customer_id, product_id, qty, amount, txn_timestamp) VALUES
         (1, 1, 1, 10.00, '2024-02-29 23:59:59'), (2, 1, 1, 10.00, '2024-03-01 00:00:00'),
         (3, 1, 1, 10.00, '2025-01-01 12:00:00')",
    )
    .await;
    let third = run(&shop, &lake, &[]).await;
    assert_eq!(third["dates"], json!(["2024-02-29", "2024-03-01", "2025-01-01"]), "{third}");
    let changed = tests::compare::changed(&before, &lake.versions().await);
    let path = |date: &str| format!("txn_summary/date={date}/part-00000.parquet");
    assert_eq!(changed, ["2024-02-29", "2024-03-01", "2025-01-01"].map(path));
    assert_as_expected(&shop, &lake, Amounts::Warned).await;
}

#[tokio::test]
async fn files_have_the_contracts_columns_in_order_and_no_date() {
    let (shop, lake) = (Shop::seeded(&Sizes::SMALL).await, Lake::empty().await);
    run(&shop, &lake, &[]).await;
    let columns = [
        ("customer_id", "INTEGER"),
        ("total_amount", "DOUBLE"),
        ("total_items", "INTEGER"),
        ("distinct_products", "INTEGER"),
        ("top_category", "VARCHAR"),
    ];
    let expected = columns.map(|(name, kind)| (name.to_owned(), kind.to_owned()));
    assert_eq!(read(&lake).await.columns, expected);
}

#[tokio::test]
async fn a_messy_source_gives_the_summaries_of_sql_before_and_after_it_is_corrected() {
    let (shop, lake) = (Shop::messy().await, Lake::empty().await);
    let refused = Program::pipeline_b(&shop.url, &lake.url).run().await;
    assert_eq!(refused.code, 3, "{refused:#?}");
    assert_eq!((shop.offset('B').await, lake.versions().await.len()), (None, 0), "nothing is committed");

    let first = run(&shop, &lake, &[]).await;
    assert_as_expected(&shop, &lake, Amounts::Warned).await;
    let mismatches = expected::mismatches(&shop).await;
    assert_eq!(first["warnings"], json!({"amount_mismatch": mismatches}), "{first}");

    shop.run(include_str!("../src/corrected.sql")).await;
    run(&shop, &lake, &[]).await;
    assert_as_expected(&shop, &lake, Amounts::Warned).await;

    let before = lake.versions().await;
    // Until then the books may change: missing ids are given up after 2 s.
    until(async || run(&shop, &lake, &[]).await["status"] == "idle", "no run is idle").await;
    assert_same(&lake.versions().await, &before);
}

#[tokio::test]
async fn strict_amounts_reject_what_is_otherwise_a_warning() {
    let (shop, lake) = (Shop::messy().await, Lake::empty().await);
    let report = run(&shop, &lake, &["--strict-amounts"]).await;
    assert_as_expected(&shop, &lake, Amounts::Strict).await;
    assert_eq!(report["warnings"], json!({}), "{report}");
}

#[tokio::test]
async fn memory_for_a_few_rows_at_a_time_gives_the_same_files() {
    let (shop, lake) = (Shop::messy().await, Lake::empty().await);
    run(&shop, &lake, &["--max-memory", "1KiB"]).await;
    assert_as_expected(&shop, &lake, Amounts::Warned).await;
}

#[tokio::test]
async fn a_date_that_does_not_fit_into_memory_is_summed_up_by_ranges_of_customers() {
    let (shop, lake) = (Shop::seeded(&Sizes::MIDDLE).await, Lake::empty().await);
    let most =
        "SELECT MAX(c) FROM (SELECT COUNT(*) AS c FROM transactions GROUP BY DATE(txn_timestamp)) counts";
    assert!(shop.number(most).await > 3 * 256, "the smallest window has 256 rows");
    let report = run(&shop, &lake, &["--max-memory", "1KiB"]).await;
    assert_eq!(report["read"], 2 * 20_000, "once to examine it, once by date: {report}");
    assert_as_expected(&shop, &lake, Amounts::Warned).await;
}

#[tokio::test]
async fn a_date_that_loses_its_last_accepted_transaction_loses_its_file() {
    let (shop, lake) = (Shop::messy().await, Lake::empty().await);
    run(&shop, &lake, &[]).await;
    let file = "txn_summary/date=2024-03-07/part-00000.parquet";
    assert!(lake.versions().await.contains_key(file));

    // The only two transactions of that date are there twice now, so neither of them counts.
    shop.run("INSERT INTO transactions SELECT * FROM transactions WHERE txn_id IN (74, 75)").await;
    run(&shop, &lake, &[]).await;
    assert!(!lake.versions().await.contains_key(file));
    assert_as_expected(&shop, &lake, Amounts::Warned).await;
}

#[tokio::test]
async fn everything_is_recomputed_after_the_offset_is_set_to_0_and_dates_without_rows_lose_their_files() {
    let (shop, lake) = (Shop::seeded(&Sizes::SMALL).await, Lake::empty().await);
    run(&shop, &lake, &[]).await;
    let standing = lake.versions().await.len();
    shop.run("DELETE FROM transactions WHERE DATE(txn_timestamp) = '2024-03-01'").await;
    shop.run("UPDATE txn_summary_offsets SET last_txnid = 0").await;
    run(&shop, &lake, &[]).await;
    assert_eq!(lake.versions().await.len(), standing - 1);
    assert_as_expected(&shop, &lake, Amounts::Warned).await;
}
