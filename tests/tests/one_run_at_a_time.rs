//! The lease of a job.

use tests::lake::Lake;
use tests::program::Program;
use tests::shop::{Shop, Sizes};

/// Another owner holds the lease of pipeline B until so many seconds from now.
fn held(seconds: i32) -> String {
    format!(
        "UPDATE etl_lease SET owner = 'another', fence = fence + 1, \
         expires_at = UNIX_TIMESTAMP(NOW(6)) * 1000000 + {seconds} * 1000000 WHERE job = 'pipeline-b'"
    )
}

#[tokio::test]
async fn a_second_run_ends_with_4_and_an_expired_lease_is_taken_over() {
    let (shop, lake) = (Shop::seeded(&Sizes::SMALL).await, Lake::empty().await);
    let run = || Program::pipeline_b(&shop.url, &lake.url);
    run().report().await;
    shop.run("INSERT INTO transactions VALUES (601, 1, 1, 1, 10.00, '2024-03-01 12:00:00')").await;
    let before = lake.versions().await;

    shop.run(&held(3600)).await;
    let second = run().run().await;
    let message = second.failed_with(4);
    assert!(message.contains("another run of pipeline-b holds its lease"), "{message}");
    assert_eq!((shop.offset('B').await, lake.versions().await), (Some(600), before));
    let owner = "SELECT owner = 'another' FROM etl_lease WHERE job = 'pipeline-b'";
    assert_eq!(shop.number(owner).await, 1, "the lease stays where it is");

    let fence = shop.number("SELECT fence FROM etl_lease WHERE job = 'pipeline-b'").await;
    shop.run(&held(-1)).await;
    assert_eq!(run().report().await["status"], "ok");
    assert_eq!(shop.offset('B').await, Some(601));
    let newer = shop.number("SELECT fence FROM etl_lease WHERE job = 'pipeline-b'").await;
    assert!(newer > fence + 1, "a takeover has a higher fencing number: {newer}, after {}", fence + 1);
}

#[tokio::test]
async fn the_lease_of_one_pipeline_does_not_stop_the_other() {
    let (shop, lake) = (Shop::seeded(&Sizes::SMALL).await, Lake::empty().await);
    let run = || Program::pipeline_b(&shop.url, &lake.url);
    run().report().await;
    let other = "INSERT INTO etl_lease VALUES ('pipeline-a', 'another', 1, 9000000000000000)";
    shop.run(other).await;
    assert_eq!(run().report().await["status"], "idle");
}
