//! Pipelines A and B killed at every step between their first read and their end: the next run puts everything right.

use tests::shop::Shop;
use tests::world::World;

/// The steps of a run of pipeline A, in their order; the second profile that is written is in the middle of the write.
const STEPS_A: [&str; 8] = [
    "found",
    "examined",
    "profile_written@2",
    "written",
    "removed",
    "quarantined",
    "before_commit",
    "committed",
];

/// The steps of a run of pipeline B; each date passes `written` and `read_back`, or `removed`.
const STEPS_B: [&str; 12] = [
    "found",
    "examined",
    "listed",
    "made",
    "written",
    "written@2",
    "read_back",
    "read_back@3",
    "removed",
    "quarantined",
    "before_commit",
    "committed",
];

/// Runs a pipeline that kills itself when it comes to `step`, which may end in `@n`.
async fn killed_at(step: &str, world: &World, letter: char) {
    let (name, nth) = step.split_once('@').unwrap_or((step, "1"));
    let killed = world.pipeline(letter).env("FAILPOINT", &format!("{name}=KILL@{nth}")).run().await;
    assert_eq!(killed.code, -1, "{letter} never came to {step}: {killed:#?}");
    world.until_lease_expired(letter).await;
}

/// Changes the source so that the next run has something to do at each step: rows for a standing profile and date, a
/// rejected one, a customer and a date of their own, which the following round takes away again, and a mended row.
async fn disturb(shop: &Shop, round: i64) {
    let last = shop.number("SELECT MAX(txn_id) FROM transactions").await;
    let (new, own) = (last + 1, 5_000 + round);
    shop.run(&format!(
        "INSERT INTO customers VALUES ({own}, 'Own 🦀', 'own@example.com', 'O', '2024-01-01');
         INSERT INTO transactions VALUES
           ({new}, 1, 1, 1, 10.00, '2024-03-01 12:00:00'), ({new} + 1, 2, 2, 1, 5.50, '2024-03-02 12:00:00'),
           ({new} + 2, 1, 999, 1, 10.00, '2024-03-01 12:00:00'),
           ({new} + 3, {own}, 2, 3, 16.50, '2030-01-01 12:00:00' + INTERVAL {round} DAY);
         INSERT INTO transactions SELECT * FROM transactions WHERE txn_id = {last} AND customer_id = {own} - 1;
         UPDATE transactions SET product_id = 1 WHERE txn_id = {last} - 1 AND product_id = 999"
    ))
    .await;
}

/// Kills a pipeline at each step, with something new in the source each time, and runs it to its end in between.
async fn assert_survives(letter: char, steps: &[&str]) {
    let world = World::messy().await;
    // The first run has a way of its own: it is killed everywhere before it comes to its end once.
    for step in steps {
        // Nothing stands yet that could be removed.
        if letter == 'A' || *step != "removed" {
            killed_at(step, &world, letter).await;
        }
        if *step == "committed" {
            world.assert_as_expected(letter).await;
        }
    }
    world.assert_settles(letter).await;
    disturb(&world.shop, 0).await;
    world.pipeline(letter).report().await;
    for (round, step) in (1..).zip(steps) {
        disturb(&world.shop, round).await;
        killed_at(step, &world, letter).await;
        let next = world.pipeline(letter).report().await;
        assert_eq!(next["written"] == 0, *step == "committed", "after {step}: {next}");
        world.assert_as_expected(letter).await;
        let idle = world.pipeline(letter).report().await;
        // Missing ids of the messy table may be given up by any run.
        assert_eq!(idle["written"], 0, "after {step}: {idle}");
    }
}

#[tokio::test]
async fn pipeline_a_killed_at_any_step_leaves_work_to_repeat_and_nothing_lost_or_doubled() {
    assert_survives('A', &STEPS_A).await;
}

#[tokio::test]
async fn pipeline_b_killed_at_any_step_leaves_work_to_repeat_and_nothing_lost_or_doubled() {
    assert_survives('B', &STEPS_B).await;
}
