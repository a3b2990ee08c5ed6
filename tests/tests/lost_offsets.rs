//! Offsets that are lost or come from a backup, while the targets stand: the work is repeated, nothing changes twice.

use tests::world::World;

/// More rows, good and bad, since the last run.
const MORE: &str =
    "INSERT INTO transactions SELECT 50000 + txn_id, customer_id, product_id, qty, amount, txn_timestamp
                    FROM transactions WHERE txn_id BETWEEN 10 AND 79 OR txn_id BETWEEN 1000 AND 1100";

/// Runs both pipelines to the end, harms their books, and lets them find their way again.
async fn assert_recovers(harm: &str) {
    let world = World::messy().await;
    world.run().await;
    world.shop.run(MORE).await;
    world.run().await;
    world.shop.run(harm).await;
    world.run().await;
    for letter in ['A', 'B'] {
        world.assert_settles(letter).await;
        assert_eq!(world.shop.offset(letter).await, Some(51_099), "{harm}");
    }
}

#[tokio::test]
async fn lost_offsets_recompute_everything() {
    assert_recovers("DELETE FROM profile_offsets; DELETE FROM txn_summary_offsets").await;
}

#[tokio::test]
async fn older_offsets_repeat_the_work_since_then() {
    assert_recovers(
        "UPDATE profile_offsets SET last_txn_id = 1500; UPDATE txn_summary_offsets SET last_txnid = 1500",
    )
    .await;
}

#[tokio::test]
async fn lost_books_are_made_again() {
    assert_recovers(
        "DROP TABLE profile_offsets; DROP TABLE txn_summary_offsets; DROP TABLE etl_gaps; DROP TABLE etl_lease; \
         DROP TABLE etl_quarantine; DROP TABLE etl_run_history",
    )
    .await;
}

#[tokio::test]
async fn a_lost_quarantine_is_made_again_with_the_offset_set_back() {
    assert_recovers(
        "DELETE FROM etl_quarantine; DELETE FROM etl_gaps; \
         UPDATE profile_offsets SET last_txn_id = 0; UPDATE txn_summary_offsets SET last_txnid = 0",
    )
    .await;
}
