//! Pipeline A on MySQL and Cassandra, row for row against SQL.

use tests::compare::{assert_same, changed};
use tests::expected::{self, Amounts};
use tests::keyspace::Keyspace;
use tests::program::Program;
use tests::shop::{Shop, Sizes, until};

#[tokio::test]
async fn profiles_equal_sql_a_second_run_changes_nothing_and_new_rows_rewrite_only_their_customers() {
    let (shop, keyspace) = (Shop::seeded(&Sizes::MIDDLE).await, Keyspace::empty().await);
    let run = || Program::pipeline_a(&shop.url, &keyspace.url).report();

    let first = run().await;
    let expected = expected::profiles(&shop).await;
    assert_same(&keyspace.profiles().await, &expected);
    assert_eq!((first["status"].as_str(), first["read"].as_u64()), (Some("ok"), Some(20_000)), "{first}");
    assert_eq!(first["written"], expected.len(), "{first}");
    assert_eq!(shop.offset('A').await, Some(20_000));

    let before = keyspace.written().await;
    let second = run().await;
    assert_eq!((second["status"].as_str(), second["written"].as_u64()), (Some("idle"), Some(0)), "{second}");
    assert_same(&keyspace.written().await, &before);

    let appended = Program::new("producer").args(["append", "--source", &shop.url, "--per-day", "8"]).run();
    assert_eq!(appended.await.code, 0);
    let third = run().await;
    assert_eq!((third["from_txn_id"].as_u64(), third["to_txn_id"].as_u64()), (Some(20_001), Some(20_016)));
    let after = keyspace.written().await;
    let bought = "SELECT DISTINCT customer_id FROM transactions WHERE txn_id > 20000 ORDER BY customer_id";
    let bought: Vec<i32> = sqlx::query_scalar(bought).fetch_all(&shop.db).await.unwrap();
    assert_eq!(changed(&before, &after), bought, "only the customers of new rows are written");
    assert_eq!(third["customers"], bought.len(), "{third}");
    assert_same(&keyspace.profiles().await, &expected::profiles(&shop).await);
}

#[tokio::test]
async fn a_messy_source_is_refused_by_default_and_nothing_of_it_is_committed() {
    let (shop, keyspace) = (Shop::messy().await, Keyspace::empty().await);
    let refused = Program::pipeline_a(&shop.url, &keyspace.url).run().await;
    let message = refused.failed_with(3).to_owned();
    assert!(message.contains("--max-quarantine-ratio 0.05"), "{message}");
    let report = refused.report();
    assert_eq!(
        (report["status"].as_str(), report["written"].as_u64()),
        (Some("refused"), Some(0)),
        "{report}"
    );
    assert_eq!(shop.offset('A').await, None);
    assert!(!keyspace.has_table().await, "no profile was written");
    assert_eq!(expected::quarantine(&shop, 'A').await.len(), 0);
}

#[tokio::test]
async fn a_messy_source_gives_the_profiles_of_sql_and_every_other_row_stands_in_quarantine_until_corrected() {
    let (shop, keyspace) = (Shop::messy().await, Keyspace::empty().await);
    let run = || Program::pipeline_a(&shop.url, &keyspace.url).args(["--max-quarantine-ratio", "1"]).report();
    let rejected = async || {
        let mut all = expected::rejected_transactions(&shop, Amounts::Warned).await;
        all.extend(expected::rejected_customers(&shop).await);
        all
    };

    let first = run().await;
    assert_same(&keyspace.profiles().await, &expected::profiles(&shop).await);
    let expected = rejected().await;
    assert_same(&expected::quarantine(&shop, 'A').await, &expected);
    assert_eq!(first["quarantined"], expected.len(), "{first}");
    assert_eq!(first["warnings"], serde_json::json!({"null_name": 1, "null_signup_date": 1}), "{first}");

    shop.run(include_str!("../src/corrected.sql")).await;
    let corrected = run().await;
    assert_same(&keyspace.profiles().await, &expected::profiles(&shop).await);
    let expected = rejected().await;
    assert_same(&expected::quarantine(&shop, 'A').await, &expected);
    assert_eq!(corrected["quarantined"], expected.len(), "{corrected}");
    assert!(expected.len() < 10, "most of it is corrected: {expected:?}");

    let before = keyspace.written().await;
    // Until then the books may change: missing ids are given up after 2 s.
    until(async || run().await["status"] == "idle", "no run is idle").await;
    assert_same(&keyspace.written().await, &before);
}

#[tokio::test]
async fn rows_that_stay_in_quarantine_rewrite_nothing() {
    let (shop, keyspace) = (Shop::messy().await, Keyspace::empty().await);
    let run = || Program::pipeline_a(&shop.url, &keyspace.url).args(["--max-quarantine-ratio", "1"]).report();
    run().await;
    let before = keyspace.written().await;
    until(async || run().await["status"] == "idle", "no run is idle").await;
    assert_same(&keyspace.written().await, &before);
}

#[tokio::test]
async fn an_accepted_id_that_turns_up_once_more_is_taken_out_of_the_profiles() {
    let (shop, keyspace) = (Shop::messy().await, Keyspace::empty().await);
    let run = || Program::pipeline_a(&shop.url, &keyspace.url).args(["--max-quarantine-ratio", "1"]).report();
    run().await;
    assert!(keyspace.profiles().await.contains_key(&0));
    // 62 is all that customer 0 has bought; 93 is a part of what customer 16 has.
    shop.run("INSERT INTO transactions SELECT * FROM transactions WHERE txn_id IN (62, 93)").await;
    run().await;
    let profiles = keyspace.profiles().await;
    assert!(!profiles.contains_key(&0), "nothing is left of it");
    assert_same(&profiles, &expected::profiles(&shop).await);
}
