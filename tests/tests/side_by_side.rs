//! Both pipelines on one source at the same time.

use tests::compare::assert_same;
use tests::duckdb::Summaries;
use tests::expected::{self, Amounts};
use tests::keyspace::Keyspace;
use tests::lake::Lake;
use tests::program::Program;
use tests::shop::Shop;

const ROUNDS: i32 = 5;

#[tokio::test]
async fn two_pipelines_that_quarantine_at_once_do_not_get_in_each_others_way() {
    let (shop, keyspace, lake) = (Shop::messy().await, Keyspace::empty().await, Lake::empty().await);
    let ratio = ["--max-quarantine-ratio", "1"];
    for round in 0..ROUNDS {
        let a = Program::pipeline_a(&shop.url, &keyspace.url).args(ratio).report();
        let b = Program::pipeline_b(&shop.url, &lake.url).args(ratio).report();
        tokio::join!(a, b);
        // More rows for the next round, most of them rejected.
        let first = 10_000 * (round + 1);
        shop.run(&format!(
            "INSERT INTO transactions SELECT txn_id + {first}, 1, 999, 1, 1.00, '2024-03-01' \
             FROM transactions WHERE txn_id BETWEEN 1000 AND 2200; \
             INSERT INTO transactions VALUES ({first} + 9000, 2, 1, 1, 10.00, '2024-03-02')"
        ))
        .await;
    }
    tokio::join!(
        Program::pipeline_a(&shop.url, &keyspace.url).args(ratio).report(),
        Program::pipeline_b(&shop.url, &lake.url).args(ratio).report(),
    );
    assert_same(&keyspace.profiles().await, &expected::profiles(&shop).await);
    let found = Summaries::read(lake.download().await.path()).await;
    assert_same(&found.rows, &expected::summaries(&shop, Amounts::Warned).await);
    for pipeline in ['A', 'B'] {
        let mut found = expected::quarantine(&shop, pipeline).await;
        found.retain(|(entity, _), _| entity == "transaction");
        assert_same(&found, &expected::rejected_transactions(&shop, Amounts::Warned).await);
    }
}
