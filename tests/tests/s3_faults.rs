//! Pipeline B and an S3 that fails: before or after it did what it was asked for, the files are right in the end.

use tests::fault_proxy::{Fault, FaultProxy, Match, When};
use tests::program::Program;
use tests::services;
use tests::world::World;

/// Pipeline B through `proxy`.
fn through(proxy: &FaultProxy, world: &World) -> Program {
    world.pipeline_b().env("AWS_ENDPOINT_URL", &proxy.url)
}

/// The file of a day in March 2024; the seed has all of them up to the 10th.
fn file(day: usize) -> String {
    format!("date=2024-03-{day:02}/part-00000.parquet")
}

async fn proxy() -> FaultProxy {
    FaultProxy::start(services::s3()).await
}

#[tokio::test]
async fn a_put_that_fails_is_repeated_and_one_that_was_applied_is_recognised() {
    let (world, proxy) = (World::seeded().await, proxy().await);
    let faults = [
        (Fault::Status(500), When::Before),
        (Fault::Status(500), When::After),
        (Fault::Status(503), When::Before),
        (Fault::Status(503), When::After),
        (Fault::Reset, When::Before),
        (Fault::Reset, When::Midway),
        (Fault::Reset, When::After),
        (Fault::Status(412), When::After),
        (Fault::Status(409), When::After),
        (Fault::Status(500), When::Midway),
    ];
    for (day, (fault, when)) in (1..).zip(faults) {
        proxy.fail(fault, when, Match::first("PUT", &file(day)));
    }
    let finished = through(&proxy, &world).run().await;
    assert_eq!(finished.code, 0, "{finished:#?}");
    assert_eq!(proxy.struck(), faults.len(), "{:#?}", proxy.requests());
    world.assert_settles('B').await;
}

#[tokio::test]
async fn a_store_that_is_silent_is_asked_again() {
    let (world, proxy) = (World::seeded().await, proxy().await);
    // Side by side, so that they take no longer than one.
    proxy.fail(Fault::Hang, When::Before, Match::first("PUT", &file(1)));
    proxy.fail(Fault::Hang, When::Midway, Match::first("PUT", &file(2)));
    proxy.fail(Fault::Hang, When::After, Match::first("PUT", &file(3)));
    proxy.fail(Fault::Hang, When::After, Match::first("GET", &file(4)));
    let finished = through(&proxy, &world).env("LEASE_TTL", "60s").run().await;
    assert_eq!(finished.code, 0, "{finished:#?}");
    assert_eq!(proxy.struck(), 4, "{:#?}", proxy.requests());
    world.assert_settles('B').await;
}

#[tokio::test]
async fn lists_and_reads_that_fail_are_repeated() {
    let (world, proxy) = (World::seeded().await, proxy().await);
    world.pipeline_b().report().await;
    world.shop.run("INSERT INTO transactions VALUES (601, 1, 1, 1, 10.00, '2024-03-01 12:00:00')").await;
    for (requests, fault) in
        [("list-type=2", Fault::Status(500)), ("uploads", Fault::Reset), ("part-00000", Fault::Reset)]
    {
        proxy.fail(fault, When::Before, Match::first("GET", requests));
        proxy.fail(Fault::Status(503), When::After, Match::first("GET", requests));
    }
    let finished = through(&proxy, &world).run().await;
    assert_eq!((finished.code, proxy.struck()), (0, 6), "{finished:#?} {:#?}", proxy.requests());
    world.assert_settles('B').await;
}

#[tokio::test]
async fn a_removal_that_fails_is_repeated_and_one_that_was_applied_is_recognised() {
    let faults = [
        (Fault::Status(500), When::Before),
        (Fault::Status(503), When::After),
        (Fault::Reset, When::After),
        (Fault::Status(412), When::After),
    ];
    let (world, proxy) = (World::messy().await, proxy().await);
    world.pipeline_b().report().await;
    // What these dates have is there twice now, so nothing of it counts.
    world.shop.run("INSERT INTO transactions SELECT * FROM transactions WHERE DATE(txn_timestamp) BETWEEN '2024-03-05' AND '2024-03-08'").await;
    for (day, (fault, when)) in (5..).zip(faults) {
        proxy.fail(fault, when, Match::first("DELETE", &file(day)));
    }
    let finished = through(&proxy, &world).run().await;
    assert_eq!(finished.code, 0, "{finished:#?}");
    assert_eq!(proxy.struck(), faults.len(), "{:#?}", proxy.requests());
    assert!(!world.lake.versions().await.keys().any(|path| path.contains("2024-03-05")));
    world.assert_settles('B').await;
}

/// A run whose second file cannot be written, and the run after it.
async fn assert_fails(fault: Fault, when: When, times: usize, said: &str) {
    let (world, proxy) = (World::seeded().await, proxy().await);
    proxy.fail(fault, when, Match::first("PUT", &file(2)).times(times));
    let failed = through(&proxy, &world).run().await;
    let message = failed.failed_with(1);
    assert!(message.contains(said) && message.contains(&file(2)), "{fault:?} {when:?}: {message}");
    assert_eq!(world.shop.offset('B').await, None, "{fault:?} {when:?}");
    world.pipeline_b().report().await;
    world.assert_settles('B').await;
}

#[tokio::test]
async fn a_store_that_goes_on_failing_ends_with_1_and_the_next_run_is_right() {
    assert_fails(Fault::Status(500), When::Before, usize::MAX, "InternalError").await;
}

#[tokio::test]
async fn a_store_that_goes_on_breaking_off_leaves_no_half_object() {
    assert_fails(Fault::Reset, When::Midway, usize::MAX, "may be down").await;
}

#[tokio::test]
async fn a_file_that_another_writer_seems_to_have_replaced_is_left_alone() {
    assert_fails(Fault::Status(412), When::Before, 1, "another writer").await;
}

#[tokio::test]
async fn a_request_that_another_one_was_in_the_way_of_is_repeated() {
    let (world, proxy) = (World::seeded().await, proxy().await);
    proxy.fail(Fault::Status(409), When::Before, Match::first("PUT", &file(1)).times(2));
    let finished = through(&proxy, &world).run().await;
    assert_eq!((finished.code, proxy.struck()), (0, 2), "{finished:#?} {:#?}", proxy.requests());
    world.assert_settles('B').await;
}

#[tokio::test]
async fn an_abandoned_upload_is_aborted_by_the_next_run_and_never_becomes_visible() {
    let world = World::seeded().await;
    let of_b = format!("txn_summary/{}", file(1));
    world.lake.abandon_upload(&of_b).await;
    world.lake.abandon_upload("events/event_date=2024-03-01/of-another-job.parquet").await;
    world.pipeline_b().report().await;
    assert_eq!(world.lake.uploads().await, ["events/event_date=2024-03-01/of-another-job.parquet"]);
    world.assert_settles('B').await;
}
