//! What a run recomputes when it is asked for more than the new rows, or for less.

use serde_json::{Value, json};
use tests::compare::assert_same;
use tests::expected;
use tests::program::Program;
use tests::shop::until;
use tests::world::World;

/// Both pipelines have seen everything.
async fn settled() -> World {
    let world = World::seeded().await;
    world.run().await;
    world
}

/// Corrections of old rows, which move no id: customer 1 pays less on one day, another row becomes a bad one.
const CORRECTION: &str =
    "UPDATE transactions SET amount = 0.01 WHERE customer_id = 1 ORDER BY txn_id LIMIT 1;
                          UPDATE transactions SET qty = 0 WHERE customer_id = 2 ORDER BY txn_id LIMIT 1";

async fn dates_of(world: &World, customers: &str) -> Vec<String> {
    let sql = format!(
        "SELECT DISTINCT CAST(DATE(txn_timestamp) AS CHAR) FROM transactions WHERE customer_id IN ({customers}) \
         AND (amount = 0.01 OR qty = 0) ORDER BY 1"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&world.shop.db).await.unwrap()
}

#[tokio::test]
async fn a_full_run_takes_up_corrections_of_old_rows_and_a_plain_one_does_not() {
    let world = settled().await;
    world.shop.run(CORRECTION).await;
    for report in world.run().await {
        assert_eq!(report["status"], "idle", "{report}");
    }
    for letter in ['A', 'B'] {
        let report = world.pipeline(letter).args(["--full"]).report().await;
        assert_eq!((report["status"].as_str(), report["read"].as_u64()), (Some("ok"), Some(600)), "{report}");
        assert_eq!(report["quarantined"], 1, "{report}");
        world.assert_settles(letter).await;
        assert_eq!(world.shop.offset(letter).await, Some(600));
    }
}

#[tokio::test]
async fn named_customers_and_dates_are_recomputed_alone() {
    let world = settled().await;
    let before = (world.keyspace.written().await, world.lake.versions().await);
    world.shop.run(CORRECTION).await;

    let report = world.pipeline('A').args(["--customers", "1,2,999999"]).report().await;
    assert_eq!((report["status"].as_str(), report["written"].as_u64()), (Some("ok"), Some(2)), "{report}");
    world.assert_settles('A').await;
    let rewritten = tests::compare::changed(&before.0, &world.keyspace.written().await);
    assert_eq!(rewritten, [1, 2]);

    let dates = dates_of(&world, "1, 2").await;
    for date in &dates {
        let report = world.pipeline('B').args(["--dates", date]).report().await;
        assert_eq!(report["dates"], json!([date]), "{report}");
    }
    world.assert_settles('B').await;
    let replaced = tests::compare::changed(&before.1, &world.lake.versions().await);
    let path = |date: &String| format!("txn_summary/date={date}/part-00000.parquet");
    assert_eq!(replaced, dates.iter().map(path).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_date_whose_rows_were_deleted_loses_its_file_when_it_is_asked_for() {
    let world = settled().await;
    world
        .shop
        .run("DELETE FROM transactions WHERE DATE(txn_timestamp) = '2024-03-01' AND txn_id < 600")
        .await;
    let report = world.pipeline('B').args(["--dates", "2024-02-29..2024-03-01"]).report().await;
    assert_eq!(report["dates"], json!(["2024-02-29", "2024-03-01"]), "{report}");
    world.assert_settles('B').await;
}

#[tokio::test]
async fn refreshed_customers_are_those_whose_row_has_changed() {
    let world = settled().await;
    let before = world.keyspace.written().await;
    let refreshed = || world.pipeline('A').args(["--refresh-customers"]).report();
    assert_eq!(refreshed().await["status"], "idle");

    world
        .shop
        .run(
            "UPDATE customers SET name = 'Zoë 🦊', gender = 'O' WHERE customer_id = 3;
             UPDATE customers SET email = 'no address' WHERE customer_id = 4",
        )
        .await;
    let report = refreshed().await;
    assert_eq!((report["written"].as_u64(), report["quarantined"].as_u64()), (Some(1), Some(1)), "{report}");
    let after = world.keyspace.written().await;
    assert_eq!(tests::compare::changed(&before, &after), [3]);
    assert_eq!(after[&3].0.name, "Zoë 🦊");

    world.shop.run("UPDATE customers SET email = 'four@example.com' WHERE customer_id = 4").await;
    assert_eq!(refreshed().await["quarantined"], 0);
    world.assert_settles('A').await;
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_recomputed_and_writes_nothing() {
    let world = World::seeded().await;
    let dry = |letter| world.pipeline(letter).args(["--dry-run"]).report();
    let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()";
    let count = |key: &str, report: &Value| report[key].as_array().unwrap().len();

    let before = world.shop.number(tables).await;
    let (a, b) = (dry('A').await, dry('B').await);
    assert_eq!((count("customer_ids", &a), count("dates", &b)), (40, 20), "{a} {b}");
    assert_eq!(world.shop.number(tables).await, before, "the pipelines' own tables are not made");
    assert!(!world.keyspace.has_table().await);
    assert_eq!(world.lake.versions().await.len(), 0);

    world.run().await;
    let books = "SELECT COUNT(*) FROM etl_run_history";
    let (runs, before) = (world.shop.number(books).await, world.keyspace.written().await);
    world
        .shop
        .run(
            "INSERT INTO transactions (customer_id, product_id, qty, amount, txn_timestamp) VALUES
             (7, 1, 1, 10.00, '2024-03-05 12:00:00'), (5, 1, 1, 10.00, '2031-01-01 12:00:00')",
        )
        .await;
    let (a, b) = (dry('A').await, dry('B').await);
    assert_eq!((&a["customer_ids"], &a["written"]), (&json!([5, 7]), &json!(0)), "{a}");
    assert_eq!((&b["dates"], &b["written"]), (&json!(["2024-03-05", "2031-01-01"]), &json!(0)), "{b}");
    let settings = ["--source", &world.shop.url, "--profiles", &world.keyspace.url];
    let text = Program::new("pipeline-a").args(settings).args(["--dry-run"]).run().await;
    assert!(text.stdout.ends_with("would recompute customer_ids: 5, 7\n"), "{text:#?}");
    assert_eq!((world.shop.offset('A').await, world.shop.offset('B').await), (Some(600), Some(600)));
    assert_eq!(world.shop.number(books).await, runs);
    assert_same(&world.keyspace.written().await, &before);
}

#[tokio::test]
async fn a_dry_run_over_everything_names_those_whose_profile_would_be_removed() {
    let world = settled().await;
    world.keyspace.run("INSERT INTO customer_profile (customer_id, name) VALUES (777, 'nobody')").await;
    let report = world.pipeline('A').args(["--full", "--dry-run"]).report().await;
    let ids = report["customer_ids"].as_array().unwrap();
    assert_eq!((ids.len(), ids.last()), (41, Some(&json!(777))), "{report}");
    world.pipeline('A').args(["--full"]).report().await;
    world.assert_settles('A').await;
}

#[tokio::test]
async fn a_dry_run_in_strict_order_passes_the_gaps_that_a_run_passes() {
    let world = settled().await;
    let insert = "INSERT INTO transactions (txn_id, customer_id, product_id, qty, amount, txn_timestamp) \
                  VALUES (700, 7, 1, 1, 10.00, '2024-03-05 12:00:00')";
    world.shop.run(insert).await;
    // Whoever could have brought 601 to 699 has ended since.
    world.shop.run("INSERT INTO etl_gaps VALUES ('A', 601, 699, '2020-01-01T00:00:00.000Z')").await;
    let dry = world.pipeline('A').args(["--strict-order", "--dry-run"]).report().await;
    assert_eq!((&dry["customer_ids"], &dry["to_txn_id"]), (&json!([7]), &json!(700)), "{dry}");
    let run = world.pipeline('A').args(["--strict-order"]).report().await;
    assert_eq!((&run["customers"], &run["to_txn_id"]), (&json!(1), &json!(700)), "{run}");
}

#[tokio::test]
async fn a_refresh_quarantines_a_row_that_went_bad_once_and_is_idle_after_it() {
    let world = settled().await;
    let refresh = || world.pipeline('A').args(["--refresh-customers"]).report();
    world.shop.run("SET sql_mode = ''; UPDATE customers SET signup_date = '0000-00-00' WHERE customer_id = 9; UPDATE customers SET email = 'bad' WHERE customer_id = 5").await;
    let report = refresh().await;
    assert_eq!((&report["status"], &report["quarantined"]), (&json!("ok"), &json!(2)), "{report}");
    assert_eq!(refresh().await["status"], "idle");
    world.shop.run("UPDATE customers SET signup_date = '2020-02-02', email = CONCAT('c', customer_id, '@example.com') WHERE customer_id IN (5, 9)").await;
    world.pipeline('A').report().await;
    world.assert_settles('A').await;
}

#[tokio::test]
async fn a_table_of_its_own_that_was_dropped_is_made_again_and_everything_recomputed() {
    let world = settled().await;
    world.shop.run("DROP TABLE profile_offsets, txn_summary_offsets").await;
    for letter in ['A', 'B'] {
        world.pipeline(letter).report().await;
        assert_eq!(world.shop.offset(letter).await, Some(600));
        world.assert_settles(letter).await;
    }
}

#[tokio::test]
async fn a_row_that_is_rejected_after_a_run_wrote_it_and_did_not_commit_is_taken_out_again() {
    let world = settled().await;
    for letter in ['A', 'B'] {
        let insert = "INSERT INTO transactions (customer_id, product_id, qty, amount, txn_timestamp) \
                      VALUES (7, 1, 1, 10.00, '2031-01-01 12:00:00')";
        world.shop.run(insert).await;
        let killed = world.pipeline(letter).env("FAILPOINT", "before_commit=KILL").run().await;
        assert_eq!(killed.code, -1, "{killed:#?}");
        world.shop.run("UPDATE etl_lease SET expires_at = 0").await;
        world.shop.run("UPDATE transactions SET qty = 0 WHERE txn_timestamp >= '2031-01-01'").await;
        world.pipeline(letter).report().await;
        world.assert_settles(letter).await;
    }
}

#[tokio::test]
async fn where_gaps_and_quarantine_were_dropped_the_offset_counts_for_nothing() {
    let world = settled().await;
    let insert = "INSERT INTO transactions (customer_id, product_id, qty, amount, txn_timestamp) \
                  VALUES (1, 1, 1, 10.00, '2024-03-01 12:00:00')";
    let mut late = world.shop.db.begin().await.unwrap();
    sqlx::query(insert).execute(&mut *late).await.unwrap();
    world.shop.run(&insert.replace("(1, 1, 1,", "(2, 1, -1,")).await;
    world.run().await;
    world.shop.run("DROP TABLE etl_gaps, etl_quarantine").await;
    late.commit().await.unwrap();
    world.shop.run("UPDATE transactions SET qty = 1 WHERE qty < 0").await;
    for letter in ['A', 'B'] {
        world.pipeline(letter).report().await;
        world.assert_settles(letter).await;
    }
}

#[tokio::test]
async fn after_a_restored_database_a_new_offset_recomputes_everything_from_the_table_as_it_is() {
    let world = settled().await;
    world.shop.run("DELETE FROM transactions WHERE txn_id > 500").await;
    for letter in ['A', 'B'] {
        assert_eq!(world.pipeline(letter).run().await.code, 3);
        let report = world.pipeline(letter).args(["--reset-offset"]).report().await;
        assert_eq!(report["status"], "ok", "{report}");
        assert_eq!(world.shop.offset(letter).await, Some(500));
        world.assert_settles(letter).await;
    }
}

#[tokio::test]
async fn in_strict_order_nothing_behind_a_missing_id_is_read_until_it_fills() {
    let world = settled().await;
    let insert = |id: u32| {
        format!(
            "INSERT INTO transactions (txn_id, customer_id, product_id, qty, amount, txn_timestamp) \
             VALUES ({id}, 1, 1, 1, 10.00, '2024-03-01 12:00:00')"
        )
    };
    let mut late = world.shop.db.begin().await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(insert(602))).execute(&mut *late).await.unwrap();
    for id in [601, 603, 605] {
        world.shop.run(&insert(id)).await;
    }
    let strictly = |letter| world.pipeline(letter).args(["--strict-order"]).report();
    let spent = || world.shop.number("SELECT COUNT(*) FROM transactions WHERE customer_id = 1");
    for letter in ['A', 'B'] {
        let report = strictly(letter).await;
        assert_eq!(
            (report["to_txn_id"].as_u64(), report["open_gaps"].as_u64()),
            (Some(601), Some(2)),
            "{report}"
        );
        assert_eq!(strictly(letter).await["status"], "idle");
    }
    let written = world.keyspace.profiles().await[&1].total_transactions;
    assert_eq!(written, spent().await - 2, "603 and 605 wait");

    late.commit().await.unwrap();
    for letter in ['A', 'B'] {
        // 604 holds it back until it is given up.
        let done = async || strictly(letter).await["to_txn_id"] == 605;
        until(done, "the offset stays").await;
        world.assert_settles(letter).await;
    }
}

#[tokio::test]
async fn a_table_that_only_half_stands_is_refused_and_empties_no_target() {
    let world = settled().await;
    let before = (world.keyspace.written().await, world.lake.versions().await);
    world.shop.run("SET foreign_key_checks = 0; DELETE FROM products").await;
    let strict = [
        Program::pipeline_a(&world.shop.url, &world.keyspace.url).args(["--full"]),
        Program::pipeline_b(&world.shop.url, &world.lake.url).args(["--full"]),
        Program::pipeline_a(&world.shop.url, &world.keyspace.url)
            .args(["--customers", "1,2,3,4,5,6,7,8,9,10"]),
        Program::pipeline_b(&world.shop.url, &world.lake.url).args(["--dates", "2024-02-20..2024-03-11"]),
    ];
    for program in strict {
        let refused = program.run().await;
        assert!(refused.failed_with(3).contains("unknown_product"), "{refused:#?}");
    }
    assert_same(&world.keyspace.written().await, &before.0);
    assert_same(&world.lake.versions().await, &before.1);
}

#[tokio::test]
async fn an_emptied_table_empties_the_targets_once_it_is_taken_as_it_is() {
    let world = settled().await;
    world.shop.run("DELETE FROM transactions").await;
    for letter in ['A', 'B'] {
        assert_eq!(world.pipeline(letter).run().await.code, 3);
        assert_eq!(world.pipeline(letter).args(["--reset-offset"]).report().await["status"], "ok");
        world.assert_as_expected(letter).await;
        assert_eq!(world.pipeline(letter).report().await["status"], "idle");
    }
}

#[tokio::test]
async fn a_customer_who_stays_bad_for_another_reason_is_in_quarantine_for_that_one() {
    let world = settled().await;
    let change = |set: &str| format!("UPDATE customers SET {set} WHERE customer_id = 1");
    world.shop.run(&change("email = 'bad'")).await;
    world.pipeline('A').args(["--customers", "1"]).report().await;
    world.shop.run(&change("email = 'one@example.com', gender = NULL")).await;
    world.pipeline('A').report().await;
    // The profile that stood keeps standing.
    let expected = expected::rejected_customers(&world.shop).await;
    assert_eq!(expected.len(), 1);
    assert_same(&expected::quarantine(&world.shop, 'A').await, &expected);
}

#[tokio::test]
async fn a_refresh_can_be_the_first_run() {
    let world = World::seeded().await;
    let report = world.pipeline('A').args(["--refresh-customers"]).report().await;
    assert_eq!(report["status"], "ok", "{report}");
    world.assert_settles('A').await;
}

#[tokio::test]
async fn an_id_that_no_offset_accounts_for_is_noticed_though_nothing_else_is_new() {
    let world = settled().await;
    world.shop.run("INSERT INTO transactions VALUES (-7, 1, 1, 1, 10.00, '2024-03-01 12:00:00')").await;
    for report in world.run().await {
        assert_eq!(report["quarantined"], 1, "{report}");
    }
}
