//! Transactions whose ids become visible out of order.

use std::time::Duration;

use tests::shop::until;
use tests::world::World;

const INSERT: &str = "INSERT INTO transactions (customer_id, product_id, qty, amount, txn_timestamp) \
                      VALUES (1, 1, 1, 10.00, '2024-03-01 12:00:00')";

/// Both pipelines have seen everything.
async fn settled() -> World {
    let world = World::seeded().await;
    world.run().await;
    world
}

async fn assert_as_expected(world: &World) {
    world.assert_as_expected('A').await;
    world.assert_as_expected('B').await;
}

/// Asserts what both pipelines report of a run.
async fn assert_run(world: &World, status: &str, open_gaps: u64) {
    for report in world.run().await {
        assert_eq!(
            (report["status"].as_str(), report["open_gaps"].as_u64()),
            (Some(status), Some(open_gaps)),
            "{report}"
        );
    }
}

#[tokio::test]
async fn a_row_that_commits_after_a_higher_id_was_seen_is_not_lost() {
    let world = settled().await;
    let mut late = world.shop.db.begin().await.unwrap();
    sqlx::query(INSERT).execute(&mut *late).await.unwrap();
    world.shop.run(&INSERT.replace("(1, 1,", "(2, 1,")).await;

    for report in world.run().await {
        assert_eq!(
            (report["to_txn_id"].as_u64(), report["open_gaps"].as_u64()),
            (Some(602), Some(1)),
            "{report}"
        );
    }
    assert_as_expected(&world).await;
    assert_run(&world, "idle", 1).await;

    late.commit().await.unwrap();
    assert_run(&world, "ok", 0).await;
    assert_as_expected(&world).await;
    assert_eq!(world.shop.number("SELECT COUNT(*) FROM etl_gaps").await, 0);
    for report in world.run().await {
        assert_eq!(report["status"], "idle", "{report}");
    }
}

#[tokio::test]
async fn an_id_that_was_rolled_back_is_given_up_once_nobody_can_fill_it() {
    let world = settled().await;
    let mut never = world.shop.db.begin().await.unwrap();
    sqlx::query(INSERT).execute(&mut *never).await.unwrap();
    world.shop.run(INSERT).await;
    for report in world.run().await {
        assert_eq!(report["open_gaps"], 1, "{report}");
    }
    never.rollback().await.unwrap();

    // Other tests' transactions on this server may keep it open a little longer.
    let settled = async || world.run().await.iter().all(|report| report["open_gaps"] == 0);
    until(settled, "the gap stays open").await;
    assert_eq!(world.shop.number("SELECT COUNT(*) FROM etl_gaps").await, 0);
    for report in world.run().await {
        assert_eq!(report["status"], "idle", "{report}");
    }
    assert_as_expected(&world).await;
}

/// `InnoDB` answers from its last view of the running transactions until nobody has asked for 100 ms; somebody who
/// asks more often (a monitor, many jobs on one server) keeps it from ever seeing a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_view_of_the_running_transactions_loses_no_row() {
    let world = settled().await;
    let db = world.shop.db.clone();
    let monitor = tokio::spawn(async move {
        loop {
            sqlx::query("SELECT trx_id FROM information_schema.innodb_trx").fetch_all(&db).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await; // the view is from before the late transaction

    let mut late = world.shop.db.begin().await.unwrap();
    sqlx::query(INSERT).execute(&mut *late).await.unwrap();
    world.shop.run(INSERT).await;
    // Long enough for a gap to be given up by its age, were nothing known to be running.
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(world.run().await.iter().all(|report| report["open_gaps"] == 1), "nothing is given up");
    }

    late.commit().await.unwrap();
    monitor.abort();
    world.run().await;
    assert_as_expected(&world).await;
}

#[tokio::test]
async fn a_slow_insert_of_several_rows_is_not_lost() {
    let world = settled().await;
    // Its statement takes all its ids at the first row, and waits at the second until somebody lets it go on.
    let lock = tests::unique_name();
    let mut holder = world.shop.db.acquire().await.unwrap();
    let take = format!("DO GET_LOCK('{lock}', 0)");
    sqlx::raw_sql(sqlx::AssertSqlSafe(take)).execute(&mut *holder).await.unwrap();
    let db = world.shop.db.clone();
    let row = |qty: &str| format!("(1, 1, {qty}, 10.00, '2024-03-01 12:00:00')");
    let rows = [row("1"), row(&format!("GET_LOCK('{lock}', 60)")), row("3"), row("0")].join(", ");
    let insert = format!(
        "INSERT INTO transactions (customer_id, product_id, qty, amount, txn_timestamp) VALUES {rows}"
    );
    let slow = tokio::spawn(async move { sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&db).await });
    let waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User lock' AND info LIKE '%INSERT%'";
    until(
        async || world.shop.number(&format!("{waiting} AND db = DATABASE()")).await > 0,
        "it does not wait",
    )
    .await;

    world.shop.run(INSERT).await;
    assert_run(&world, "ok", 1).await;
    assert_as_expected(&world).await;
    assert_run(&world, "idle", 1).await;
    drop(holder.close().await);
    slow.await.unwrap().unwrap();
    assert_run(&world, "ok", 0).await;
    for letter in ['A', 'B'] {
        world.assert_settles(letter).await;
    }
}

#[tokio::test]
async fn rows_that_commit_late_into_a_gap_of_a_million_ids_are_found_and_the_rest_is_given_up() {
    let world = settled().await;
    let mut late = world.shop.db.begin().await.unwrap();
    let rows: Vec<String> = (0..2_000)
        .map(|row| {
            format!(
                "({}, {}, 1, 1, 2.50, '2024-03-0{} 12:00:00')",
                601 + 500 * row,
                1 + row % 40,
                1 + row % 9
            )
        })
        .collect();
    let insert = format!("INSERT INTO transactions VALUES {}", rows.join(", "));
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&mut *late).await.unwrap();
    world.shop.run("INSERT INTO transactions VALUES (1000601, 1, 1, 1, 10.00, '2024-03-01 12:00:00')").await;
    for report in world.run().await {
        assert_eq!(
            (report["open_gaps"].as_u64(), report["open_gap_ids"].as_u64()),
            (Some(1), Some(1_000_000))
        );
    }
    assert_eq!(world.shop.number("SELECT COUNT(*) FROM etl_gaps").await, 2, "one range for each pipeline");
    assert_as_expected(&world).await;

    late.commit().await.unwrap();
    world.run().await;
    assert_as_expected(&world).await;
    let settled = async || world.run().await.iter().all(|report| report["open_gaps"] == 0);
    until(settled, "the rest of the gap stays open").await;
    assert_run(&world, "idle", 0).await;
    assert_as_expected(&world).await;
}

#[tokio::test]
async fn where_every_other_id_is_missing_the_gaps_are_read_together_and_no_late_row_is_lost() {
    let world = settled().await;
    let mut late = world.shop.db.begin().await.unwrap();
    let insert = INSERT.replace("(customer_id", "(txn_id, customer_id").replace("(1, 1,", "(20001, 1, 1,");
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&mut *late).await.unwrap();
    let sparse = "INSERT INTO transactions SELECT 600 + 2 * seq, 1 + seq % 40, 1 + seq % 9, 1, 2.50, \
                  '2024-03-01 12:00:00' + INTERVAL seq % 3 DAY FROM seq_1_to_30000";
    world.shop.run(sparse).await;
    assert_run(&world, "ok", 30_000).await;
    assert_as_expected(&world).await;
    assert_run(&world, "idle", 30_000).await;

    late.commit().await.unwrap();
    for report in world.run().await {
        assert_eq!(report["read"].as_u64().map(|rows| rows > 0), Some(true), "{report}");
    }
    assert_as_expected(&world).await;
    let settled = async || world.run().await.iter().all(|report| report["open_gaps"] == 0);
    until(settled, "the gaps stay open").await;
    assert_run(&world, "idle", 0).await;
    assert_as_expected(&world).await;
}

#[tokio::test]
async fn a_million_rows_that_commit_late_into_one_gap_are_all_found() {
    let world = settled().await;
    let mut late = world.shop.db.begin().await.unwrap();
    let digits = "SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 \
                  UNION SELECT 7 UNION SELECT 8 UNION SELECT 9";
    let insert = format!(
        "INSERT INTO transactions (customer_id, product_id, qty, amount, txn_timestamp) \
         WITH d AS ({digits}) SELECT 1 + a.n * 4 + b.n % 4, 1 + c.n, 1 + d.n, 0.5 + e.n, '2024-03-01' + INTERVAL f.n DAY \
         FROM d a, d b, d c, d d, d e, d f"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&mut *late).await.unwrap();
    world.shop.run(INSERT).await;
    for report in world.run().await {
        assert_eq!(report["open_gaps"], 1, "{report}");
        assert!(report["open_gap_ids"].as_u64() >= Some(1_000_000), "{report}");
    }
    late.commit().await.unwrap();
    for report in world.run().await {
        assert!(report["read"].as_u64() >= Some(1_000_000), "{report}");
    }
    for letter in ['A', 'B'] {
        world.assert_settles(letter).await;
    }
}
