//! Ids beyond the largest signed number, in a column of unsigned ones.

use tests::world::World;

/// 2^63, the first id that a signed column cannot hold.
const FIRST_BIG: u64 = 1 << 63;

#[tokio::test]
async fn ids_up_to_the_largest_unsigned_number_are_read_kept_in_the_books_and_looked_for_again() {
    let world = World::seeded().await;
    world.shop.run("ALTER TABLE transactions MODIFY txn_id BIGINT UNSIGNED NOT NULL").await;
    let (below, last) = (FIRST_BIG - 3, u64::MAX - 1);
    let insert = |id: u64, qty: i32| {
        format!(
            "INSERT INTO transactions VALUES ({id}, {}, 1, {qty}, 10.00, '2024-03-01 12:00:00')",
            1 + id % 40
        )
    };
    let mut late = world.shop.db.begin().await.unwrap();
    for id in [601, below, FIRST_BIG + 1, FIRST_BIG + 100] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(insert(id, 1))).execute(&mut *late).await.unwrap();
    }
    // Accepted and rejected, on both sides.
    for (id, qty) in [(602, 1), (603, 0), (FIRST_BIG - 1, 1), (FIRST_BIG, 0), (FIRST_BIG + 7, 2), (last, 1)] {
        world.shop.run(&insert(id, qty)).await;
    }
    for report in world.run().await {
        assert_eq!(
            (report["to_txn_id"].as_u64(), report["quarantined"].as_u64()),
            (Some(last), Some(2)),
            "{report}"
        );
    }
    for letter in ['A', 'B'] {
        world.assert_as_expected(letter).await;
        assert_eq!(world.shop.offset(letter).await, Some(last.cast_signed()));
    }
    for report in world.run().await {
        assert_eq!(report["status"], "idle", "{report}");
    }

    late.commit().await.unwrap();
    world.shop.run(&format!("UPDATE transactions SET qty = 5 WHERE txn_id IN (603, {FIRST_BIG})")).await;
    for report in world.run().await {
        assert_eq!(
            (report["status"].as_str(), report["quarantined"].as_u64()),
            (Some("ok"), Some(0)),
            "{report}"
        );
    }
    for letter in ['A', 'B'] {
        world.assert_settles(letter).await;
    }
    world.shop.run(&insert(u64::MAX, 1)).await;
    for report in world.run().await {
        assert_eq!(
            (report["status"].as_str(), report["to_txn_id"].as_u64()),
            (Some("ok"), Some(u64::MAX)),
            "{report}"
        );
    }
    for letter in ['A', 'B'] {
        world.assert_settles(letter).await;
    }
}
