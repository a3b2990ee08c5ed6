//! What an incremental run costs the source: it looks up what it needs, and does not go through the table.

use tests::program::Program;
use tests::shop::{Shop, Sizes};
use tests::world::World;

/// Rows and index entries of `transactions` that were read since the server counts.
async fn rows_read(shop: &Shop) -> i64 {
    if shop.number("SELECT VERSION() LIKE '%MariaDB%'").await == 0 {
        let counted = "SELECT CAST(SUM(count_read) AS SIGNED) FROM performance_schema.table_io_waits_summary_by_table \
                       WHERE object_schema = DATABASE() AND object_name = 'transactions'";
        return shop.number(counted).await;
    }
    // Sessions add what they have read when a statement of theirs ends; off unless the server was started with it.
    if shop.number("SELECT @@GLOBAL.userstat").await == 0 {
        shop.run("SET GLOBAL userstat = 1").await;
    }
    let counted = "SELECT CAST(COALESCE(SUM(rows_read), 0) AS SIGNED) FROM information_schema.table_statistics \
                   WHERE table_schema = DATABASE() AND table_name = 'transactions'";
    shop.number(counted).await
}

/// Adds a purchase of one customer and lets `pipeline` find it; returns how much it read.
async fn after_a_purchase(shop: &Shop, pipeline: Program) -> i64 {
    shop.run(
        "INSERT INTO transactions (customer_id, product_id, qty, amount, txn_timestamp) \
         VALUES (7, 1, 1, 10.00, '2024-03-01 12:00:00')",
    )
    .await;
    let before = rows_read(shop).await;
    let report = pipeline.report().await;
    assert_eq!(report["status"], "ok", "{report}");
    rows_read(shop).await - before
}

#[tokio::test]
async fn an_increment_reads_its_customers_or_its_dates_and_not_the_table() {
    let world = World::of(Shop::seeded(&Sizes::MIDDLE).await).await;
    rows_read(&world.shop).await; // counting begins
    world.run().await;
    let table = world.shop.number("SELECT COUNT(*) FROM transactions").await;

    let of_customer = world.shop.number("SELECT COUNT(*) FROM transactions WHERE customer_id = 7").await;
    let read = after_a_purchase(&world.shop, world.pipeline_a()).await;
    assert!(read >= of_customer && read < 3 * of_customer + 50, "A: {read} of {table}, wanted {of_customer}");

    let on_date = "SELECT COUNT(*) FROM transactions WHERE DATE(txn_timestamp) = '2024-03-01'";
    let on_date = world.shop.number(on_date).await;
    let read = after_a_purchase(&world.shop, world.pipeline_b()).await;
    assert!(read >= on_date && read < 3 * on_date + 50, "B: {read} of {table}, wanted {on_date}");
}

#[tokio::test]
async fn without_an_index_an_increment_reads_the_table_and_says_so() {
    let world = World::of(Shop::seeded(&Sizes::MIDDLE).await).await;
    rows_read(&world.shop).await; // counting begins
    world.run().await;
    let table = world.shop.number("SELECT COUNT(*) FROM transactions").await;
    world
        .shop
        .run(
            "ALTER TABLE transactions DROP FOREIGN KEY transactions_ibfk_1, \
             DROP INDEX idx_transactions_customer_id, DROP INDEX idx_transactions_txn_timestamp",
        )
        .await;
    let read = after_a_purchase(&world.shop, world.pipeline_a()).await;
    assert!((table..2 * table).contains(&read), "A goes through the {table} rows once: {read}");
    world.assert_as_expected('A').await;

    let run = world.pipeline_b().run().await;
    assert_eq!(run.code, 0, "{run:#?}");
    for column in ["customer_id", "txn_timestamp"] {
        assert!(run.stderr.contains(&format!("transactions.{column} has no index")), "{run:#?}");
    }
    world.assert_as_expected('B').await;
}

#[tokio::test]
async fn customers_who_buy_most_are_found_by_a_scan_with_the_same_profiles() {
    let world = World::of(Shop::seeded(&Sizes::MIDDLE).await).await;
    rows_read(&world.shop).await; // counting begins
    world.run().await;
    let table = world.shop.number("SELECT COUNT(*) FROM transactions").await;
    // Every fourth customer, with about a quarter of all rows.
    world
        .shop
        .run(
            "INSERT INTO transactions (customer_id, product_id, qty, amount, txn_timestamp) \
             SELECT customer_id, 1, 1, 10.00, '2024-03-01 12:00:00' FROM customers WHERE customer_id % 4 = 0",
        )
        .await;
    let read = after_a_purchase(&world.shop, world.pipeline_a()).await;
    assert!((table..2 * table).contains(&read), "{read} of {table}");
    world.assert_as_expected('A').await;
}

#[tokio::test]
async fn an_id_that_is_unique_without_being_the_primary_key_is_a_key_too() {
    let world = World::of(Shop::seeded(&Sizes::MIDDLE).await).await;
    rows_read(&world.shop).await; // counting begins
    world
        .shop
        .run(
            "ALTER TABLE transactions MODIFY txn_id BIGINT NOT NULL, DROP PRIMARY KEY, \
             ADD COLUMN pk BIGINT AUTO_INCREMENT PRIMARY KEY, ADD UNIQUE (txn_id)",
        )
        .await;
    world.run().await;
    let before = rows_read(&world.shop).await;
    let [a, b] = world.run().await;
    assert_eq!((&a["status"], &b["status"]), (&"idle".into(), &"idle".into()), "{a} {b}");
    let read = rows_read(&world.shop).await - before;
    assert!(read < 100, "{read}");
}
