//! With little memory the work is done in turn, and its outcome is the same.

use tests::program::Program;
use tests::shop::{Shop, Sizes};
use tests::world::World;

/// The least that a pipeline works with: some hundred customers or rows at a time.
const LITTLE: [&str; 2] = ["--max-memory", "1MiB"];

async fn world() -> World {
    World::of(Shop::seeded(&Sizes { customers: 900, products: 30, transactions: 6_000 }).await).await
}

#[tokio::test]
async fn profiles_of_more_customers_than_fit_are_made_slice_by_slice() {
    let world = world().await;
    let run = || world.pipeline('A').args(LITTLE);
    let report = run().report().await;
    // Once to judge them all, then once in the slice of their customer.
    assert_eq!(report["read"], 2 * 6_000, "{report}");
    world.assert_as_expected('A').await;

    // A purchase of each, one that is taken back, and a profile of nobody.
    world
        .shop
        .run(
            "INSERT INTO transactions (customer_id, product_id, qty, amount, txn_timestamp) \
             SELECT customer_id, 1, 1, 10.00, '2024-03-05 12:00:00' FROM customers",
        )
        .await;
    run().report().await;
    world.assert_as_expected('A').await;
    world.shop.run("DELETE FROM transactions WHERE customer_id IN (1, 450, 900)").await;
    world.keyspace.run("INSERT INTO customer_profile (customer_id, name) VALUES (77777, 'nobody')").await;
    let verified = world.command('A', &["verify", "--max-memory", "1MiB"]).run().await.report();
    assert_eq!(verified["differing"], 4, "{verified}");
    run().args(["--full"]).report().await;
    world.assert_settles('A').await;
    let verified = world.command('A', &["verify", "--max-memory", "1MiB"]).run().await.report();
    assert_eq!(verified["differing"], 0, "{verified}");
}

#[tokio::test]
async fn days_of_more_transactions_than_fit_are_made_window_by_window() {
    let world = world().await;
    let report = world.pipeline('B').args(LITTLE).report().await;
    assert!(report["read"].as_u64().unwrap() >= 2 * 6_000, "{report}");
    world.assert_settles('B').await;
}

#[tokio::test]
async fn a_batch_that_turns_out_bad_in_a_later_slice_is_not_called_untouched() {
    let world = world().await;
    world.pipeline('A').report().await;
    world
        .shop
        .run(
            "SET FOREIGN_KEY_CHECKS = 0; UPDATE transactions SET product_id = 999 WHERE customer_id > 300;
             INSERT INTO transactions (customer_id, product_id, qty, amount, txn_timestamp) \
             SELECT customer_id, 1, 1, 10.00, '2024-03-05 12:00:00' FROM customers",
        )
        .await;
    let strict = || Program::pipeline_a(&world.shop.url, &world.keyspace.url).env("LEASE_TTL", "300ms");
    let failed = strict().args(LITTLE).run().await;
    let message = failed.failed_with(1);
    assert!(message.contains("other profiles are up to date already"), "{message}");
    assert_eq!(failed.report()["status"], "failed");
    // In one piece it is refused before anything is written.
    let before = world.written('A').await;
    let refused = strict().run().await;
    assert_eq!(
        (refused.code, &refused.report()["status"]),
        (3, &serde_json::json!("refused")),
        "{refused:#?}"
    );
    assert_eq!(world.written('A').await, before);
    world.pipeline('A').report().await;
    world.assert_settles('A').await;
}

#[tokio::test]
async fn a_day_that_no_row_can_hold_is_named_and_holds_no_other_day_up() {
    let world = World::seeded().await;
    world.pipeline('B').report().await;
    world
        .shop
        .run(
            "INSERT INTO transactions (txn_id, customer_id, product_id, qty, amount, txn_timestamp) VALUES
             (601, 7, 1, 2000000000, 10.00, '2031-01-01 12:00:00'), (602, 7, 1, 2000000000, 10.00, '2031-01-01 13:00:00'),
             (603, 7, 1, 1, 10.00, '2031-01-02 12:00:00')",
        )
        .await;
    let failed = world.pipeline('B').run().await;
    let message = failed.failed_with(1);
    assert!(
        message.contains("2031-01-01") && message.contains("customer 7 bought 4000000000 items"),
        "{message}"
    );
    let files = world.lake.versions().await;
    assert!(files.keys().any(|path| path.contains("2031-01-02")), "{files:?}");
    assert!(!files.keys().any(|path| path.contains("2031-01-01")), "{files:?}");
    assert_eq!(world.shop.offset('B').await, Some(600));
    world.shop.run("UPDATE transactions SET qty = 2 WHERE txn_id = 601").await;
    world.pipeline('B').report().await;
    world.assert_settles('B').await;
}
