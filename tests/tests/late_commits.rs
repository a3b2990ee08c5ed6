//! Transactions whose ids become visible out of order.

use std::time::Duration;

use serde_json::Value;
use tests::compare::assert_same;
use tests::duckdb::Summaries;
use tests::expected::{self, Amounts};
use tests::keyspace::Keyspace;
use tests::lake::Lake;
use tests::program::Program;
use tests::shop::{Shop, Sizes, until};

const INSERT: &str = "INSERT INTO transactions (customer_id, product_id, qty, amount, txn_timestamp) \
                      VALUES (1, 1, 1, 10.00, '2024-03-01 12:00:00')";

struct World {
    shop: Shop,
    keyspace: Keyspace,
    lake: Lake,
}

impl World {
    /// Both pipelines have seen everything.
    async fn settled() -> Self {
        let (shop, keyspace, lake) =
            (Shop::seeded(&Sizes::SMALL).await, Keyspace::empty().await, Lake::empty().await);
        let world = Self { shop, keyspace, lake };
        world.run().await;
        world
    }

    /// The reports of both pipelines.
    async fn run(&self) -> [Value; 2] {
        [
            Program::pipeline_a(&self.shop.url, &self.keyspace.url).report().await,
            Program::pipeline_b(&self.shop.url, &self.lake.url).report().await,
        ]
    }

    async fn assert_as_expected(&self) {
        assert_same(&self.keyspace.profiles().await, &expected::profiles(&self.shop).await);
        let found = Summaries::read(self.lake.download().await.path()).await;
        assert_same(&found.rows, &expected::summaries(&self.shop, Amounts::Warned).await);
    }
}

#[tokio::test]
async fn a_row_that_commits_after_a_higher_id_was_seen_is_not_lost() {
    let world = World::settled().await;
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
    world.assert_as_expected().await;
    for report in world.run().await {
        assert_eq!(
            (report["status"].as_str(), report["open_gaps"].as_u64()),
            (Some("idle"), Some(1)),
            "{report}"
        );
    }

    late.commit().await.unwrap();
    for report in world.run().await {
        assert_eq!(
            (report["status"].as_str(), report["open_gaps"].as_u64()),
            (Some("ok"), Some(0)),
            "{report}"
        );
    }
    world.assert_as_expected().await;
    assert_eq!(world.shop.number("SELECT COUNT(*) FROM etl_gaps").await, 0);
    for report in world.run().await {
        assert_eq!(report["status"], "idle", "{report}");
    }
}

#[tokio::test]
async fn an_id_that_was_rolled_back_is_given_up_once_nobody_can_fill_it() {
    let world = World::settled().await;
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
    world.assert_as_expected().await;
}

/// `InnoDB` answers from its last view of the running transactions until nobody has asked for 100 ms; somebody who
/// asks more often (a monitor, many jobs on one server) keeps it from ever seeing a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_view_of_the_running_transactions_loses_no_row() {
    let world = World::settled().await;
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
    world.assert_as_expected().await;
}
