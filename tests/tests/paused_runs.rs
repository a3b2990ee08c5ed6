//! Two runs of one job: the second does not start, and the first, put to sleep and overtaken, writes nothing that lasts.

use tests::compare::assert_same;
use tests::world::World;

/// Puts a run to sleep at `step`, lets another one overtake it, which knows more, and wakes it.
async fn assert_overtaken(letter: char, step: &str) {
    let world = World::messy().await;
    let sleeping = world.pipeline(letter).env("FAILPOINT", step).start();
    sleeping.until_stopped().await;
    world.until_lease_expired(letter).await;
    // For most profiles and dates the sleeping run has other sums now; some rows have left quarantine.
    world.shop.run(include_str!("../src/corrected.sql")).await;
    world
        .shop
        .run("INSERT INTO transactions SELECT 90000 + txn_id, customer_id, product_id, 1, 7.77, txn_timestamp FROM transactions WHERE txn_id BETWEEN 1000 AND 1200")
        .await;
    world.pipeline(letter).report().await;
    world.assert_as_expected(letter).await;
    let (before, offset) = (world.written(letter).await, world.shop.offset(letter).await);

    let overtaken = sleeping.go_on().await;
    let message = overtaken.failed_with(1);
    assert!(message.contains("another"), "{step}: {message}");
    assert_same(&world.written(letter).await, &before);
    assert_eq!(world.shop.offset(letter).await, offset);
    world.assert_settles(letter).await;
}

#[tokio::test]
async fn a_run_of_a_that_was_overtaken_in_its_sleep_writes_nothing_that_lasts() {
    for step in ["examined=STOP", "profile_written=STOP@2", "before_commit=STOP"] {
        assert_overtaken('A', step).await;
    }
}

#[tokio::test]
async fn a_run_of_b_that_was_overtaken_in_its_sleep_writes_nothing_that_lasts() {
    for step in ["examined=STOP", "listed=STOP", "written=STOP@2", "before_commit=STOP"] {
        assert_overtaken('B', step).await;
    }
}

/// Customers buy something on days of their own; while the run that has read it sleeps, the purchases that it is going to
/// write next are taken back and another run commits. What only the sleeping run knows of must not be written.
async fn assert_nothing_of_its_own_is_left(letter: char, step: &str, next: &str) {
    let world = World::seeded().await;
    world
        .shop
        .run("INSERT INTO customers SELECT 1000 + customer_id, name, CONCAT('x', email), gender, signup_date FROM customers")
        .await;
    world.pipeline(letter).report().await;
    world
        .shop
        .run(
            "INSERT INTO transactions (txn_id, customer_id, product_id, qty, amount, txn_timestamp) \
             SELECT customer_id - 400, customer_id, 1, 1, 10.00, '2031-01-01' + INTERVAL customer_id - 1000 DAY \
             FROM customers WHERE customer_id > 1000",
        )
        .await;
    let sleeping = world.pipeline(letter).env("FAILPOINT", step).start();
    sleeping.until_stopped().await;
    world.until_lease_expired(letter).await;
    world.shop.run(&format!("DELETE FROM transactions WHERE txn_id BETWEEN {next}")).await;
    world.pipeline(letter).report().await;
    let message = sleeping.go_on().await;
    assert!(message.failed_with(1).contains("another"), "{message:#?}");
    world.assert_settles(letter).await;
}

#[tokio::test]
async fn a_run_that_wakes_writes_no_customer_that_the_newer_run_did_not_touch() {
    // Eight were on their way when the first had arrived.
    assert_nothing_of_its_own_is_left('A', "profile_written=STOP@1", "609 AND 612").await;
}

#[tokio::test]
async fn a_run_that_wakes_writes_no_date_that_the_newer_run_did_not_touch() {
    assert_nothing_of_its_own_is_left('B', "made=STOP@1", "601 AND 612").await;
}

#[tokio::test]
async fn of_two_runs_at_once_the_second_ends_with_4_and_the_first_is_right() {
    let world = World::messy().await;
    for letter in ['A', 'B'] {
        let first = world.pipeline(letter).env("LEASE_TTL", "60s").env("FAILPOINT", "examined=STOP").start();
        first.until_stopped().await;
        let second = world.pipeline(letter).run().await;
        assert!(second.failed_with(4).contains("holds its lease"), "{second:#?}");
        let finished = first.go_on().await;
        assert_eq!(finished.code, 0, "{finished:#?}");
        world.assert_settles(letter).await;
    }
}
