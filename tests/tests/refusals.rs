//! What ends a run badly: the exit code, a message that helps, and nothing committed.

use tests::keyspace::Keyspace;
use tests::lake::Lake;
use tests::program::Program;
use tests::services;
use tests::shop::{Shop, Sizes};

/// A profile store and a lake that a run refused before its writes never looks at.
const NO_PROFILES: &str = "sqlite:///nonexistent/profiles.db";
const NO_LAKE: &str = "file:///nonexistent/lake";

fn both(source: &str) -> [Program; 2] {
    [Program::pipeline_a(source, NO_PROFILES), Program::pipeline_b(source, NO_LAKE)]
}

#[tokio::test]
async fn an_offset_beyond_the_table_is_refused_and_says_what_to_do() {
    let (shop, keyspace) = (Shop::seeded(&Sizes::SMALL).await, Keyspace::empty().await);
    let run = || Program::pipeline_a(&shop.url, &keyspace.url);
    run().report().await;
    let before = keyspace.written().await;
    shop.run("UPDATE profile_offsets SET last_txn_id = 999999").await;
    shop.run("INSERT INTO txn_summary_offsets VALUES ('transactions', 999999)").await;

    for program in [run(), Program::pipeline_b(&shop.url, NO_LAKE)] {
        let finished = program.run().await;
        let message = finished.failed_with(3);
        for part in ["999999", "the highest txn_id in transactions is 600", "--reset-offset"] {
            assert!(message.contains(part), "{part} is missing: {message}");
        }
        assert_eq!(finished.report()["status"], "refused");
    }
    assert_eq!((shop.offset('A').await, shop.offset('B').await), (Some(999_999), Some(999_999)));
    assert_eq!(keyspace.written().await, before);
}

#[tokio::test]
async fn a_missing_table_or_column_is_named() {
    let shop = Shop::messy().await;
    shop.run("DROP TABLE products; ALTER TABLE transactions DROP COLUMN qty").await;
    shop.run("ALTER TABLE transactions MODIFY amount DOUBLE").await;
    for program in both(&shop.url) {
        let finished = program.run().await;
        let message = finished.failed_with(2);
        for part in [
            "table products is missing",
            "column transactions.qty is missing",
            "column transactions.amount is double, wanted decimal",
        ] {
            assert!(message.contains(part), "{part} is missing: {message}");
        }
    }
}

#[tokio::test]
async fn ids_that_no_profile_could_hold_are_named() {
    let shop = Shop::seeded(&Sizes::SMALL).await;
    shop.run("ALTER TABLE transactions DROP FOREIGN KEY IF EXISTS transactions_ibfk_1").await;
    shop.run("SET FOREIGN_KEY_CHECKS = 0; ALTER TABLE customers MODIFY customer_id BIGINT NOT NULL").await;
    let fits = Program::pipeline_a(&shop.url, NO_PROFILES).args(["--dry-run"]).run().await;
    assert!(!fits.stderr.contains("schema"), "{fits:#?}");
    shop.run("INSERT INTO customers (customer_id, name, email) VALUES (3000000000, 'x', 'x@example.com')")
        .await;
    for program in both(&shop.url) {
        let finished = program.run().await;
        let message = finished.failed_with(2);
        let named = "column customers.customer_id is bigint and holds 3000000000, wanted int";
        assert!(message.contains(named), "{message}");
    }
    // What is -1 with a sign.
    shop.run("SET FOREIGN_KEY_CHECKS = 0; ALTER TABLE customers MODIFY customer_id BIGINT UNSIGNED NOT NULL; UPDATE customers SET customer_id = 18446744073709551615 WHERE customer_id = 3000000000").await;
    let message = Program::pipeline_a(&shop.url, NO_PROFILES).run().await;
    assert!(message.failed_with(2).contains("holds 18446744073709551615"), "{message:#?}");
}

#[tokio::test]
async fn a_source_that_does_not_answer_ends_with_1_and_no_password_is_shown() {
    // Nobody listens on port 1.
    let unreachable = both("mysql://etl:s3cret@127.0.0.1:1/shop").map(Program::run);
    for finished in futures::future::join_all(unreachable).await {
        let message = finished.failed_with(1);
        assert!(message.contains("mysql://etl:***@127.0.0.1:1/shop"), "{message}");
        assert!(!format!("{finished:?}").contains("s3cret"), "{finished:#?}");
        assert_eq!(finished.report()["status"], "failed");
    }
}

#[tokio::test]
async fn a_wrong_password_ends_with_2_and_is_not_shown() {
    let server = services::mysql();
    let host = server.rsplit('@').next().unwrap();
    for program in both(&format!("mysql://nobody_{}:s3cret@{host}/mysql", tests::unique_name())) {
        let finished = program.run().await;
        finished.failed_with(2);
        assert!(!format!("{finished:?}").contains("s3cret"), "{finished:#?}");
    }
}

#[tokio::test]
async fn an_address_that_cannot_work_ends_with_2_and_its_password_is_not_shown() {
    let addresses = [
        "nonsense",
        "postgres://etl:s3cret@db/shop",
        "mysql://etl:s3cret@db:not-a-port/shop",
        "mysql://etl:s3cret@db:3306",
    ];
    for address in addresses {
        for program in both(address) {
            let finished = program.run().await;
            finished.failed_with(2);
            assert!(!format!("{finished:?}").contains("s3cret"), "{finished:#?}");
        }
        let from_env = Program::new("pipeline-b").args(["--lake", NO_LAKE]).env("SOURCE_URL", address);
        let finished = from_env.run().await;
        finished.failed_with(2);
        assert!(!format!("{finished:?}").contains("s3cret"), "{finished:#?}");
    }
    for address in ["cassandra://etl:s3cret@db", "cassandra://etl:s3cret@db/shop?consistency=most"] {
        let finished = Program::pipeline_a("sqlite:///nonexistent/shop.db", address).run().await;
        assert_ne!(finished.code, 0);
        assert!(!format!("{finished:?}").contains("s3cret"), "{finished:#?}");
    }
}

#[tokio::test]
async fn a_missing_keyspace_ends_with_2_says_how_to_make_it_and_leaves_the_offset() {
    let shop = Shop::seeded(&Sizes::SMALL).await;
    let name = tests::unique_name();
    let url = format!("cassandra://{}/{name}", services::cassandra());
    let finished = Program::pipeline_a(&shop.url, &url).run().await;
    let message = finished.failed_with(2);
    assert!(message.contains(&format!("CREATE KEYSPACE {name}")), "{message}");
    assert_eq!(shop.offset('A').await, None);
}

#[tokio::test]
async fn a_missing_bucket_ends_with_1_or_2_is_named_and_leaves_the_offset() {
    let shop = Shop::seeded(&Sizes::SMALL).await;
    let finished = Program::pipeline_b(&shop.url, "s3://no-such-bucket-here/lake").run().await;
    assert!([1, 2].contains(&finished.code), "{finished:#?}");
    assert!(finished.stderr.contains("no-such-bucket-here"), "{finished:#?}");
    assert_eq!(shop.offset('B').await, None);

    let lake = Lake::empty().await;
    assert_eq!(Program::pipeline_b(&shop.url, &lake.url).report().await["status"], "ok");
}
