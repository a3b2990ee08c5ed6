//! Pipeline B and an S3 that fails: before or after it did what it was asked for, the files are right in the end.

use tests::fault_proxy::{Fault, FaultProxy, Match, When};
use tests::program::{Finished, Program};
use tests::services;
use tests::world::World;

/// One of the files that pipeline B writes.
const FILE: &str = "date=2024-03-01/part-00000.parquet";

/// Pipeline B through `proxy`.
fn through(proxy: &FaultProxy, world: &World) -> Program {
    world.pipeline_b().env("AWS_ENDPOINT_URL", &proxy.url)
}

/// Runs pipeline B while one kind of request meets with one fault.
async fn struck(world: &World, fault: Fault, when: When, requests: Match) -> Finished {
    let proxy = FaultProxy::start(services::s3()).await;
    proxy.fail(fault, when, requests);
    let finished = through(&proxy, world).run().await;
    assert!(proxy.struck() > 0, "nothing happened: {:#?}", proxy.requests());
    finished
}

#[tokio::test]
async fn a_put_that_fails_once_is_repeated_and_an_applied_one_is_recognised() {
    let faults = [Fault::Status(500), Fault::Status(503), Fault::Reset];
    for fault in faults {
        for when in [When::Before, When::Midway, When::After] {
            let world = World::seeded().await;
            let finished = struck(&world, fault, when, Match::first("PUT", FILE)).await;
            assert_eq!(finished.code, 0, "{fault:?} {when:?}: {finished:#?}");
            world.assert_settles('B').await;
        }
    }
}
