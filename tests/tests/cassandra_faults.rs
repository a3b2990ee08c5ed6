//! Pipeline A and a Cassandra that cannot be written as asked for, or goes away in the middle.

use tests::keyspace::Keyspace;
use tests::program::Program;
use tests::services;
use tests::shop::{Shop, Sizes};
use tests::tcp_proxy::TcpProxy;
use tests::world::World;

/// Longer than the minute within which a write is repeated, and the end of the run.
const LONG: std::time::Duration = std::time::Duration::from_secs(90);

#[tokio::test]
async fn a_level_that_the_replication_cannot_satisfy_ends_with_2_before_anything_is_written() {
    let shop = Shop::seeded(&Sizes::SMALL).await;
    for (level, said) in [("three", "needs 3 replicas"), ("each_quorum", "NetworkTopologyStrategy")] {
        let keyspace = Keyspace::empty().await;
        let refused =
            Program::pipeline_a(&shop.url, &format!("{}?consistency={level}", keyspace.url)).run().await;
        let message = refused.failed_with(2);
        let name = keyspace.url.rsplit('/').next().unwrap();
        for part in [level, said, name, "?consistency=", "ALTER KEYSPACE"] {
            assert!(message.contains(part), "{part} is missing: {message}");
        }
        assert!(!keyspace.has_table().await);
    }
    assert_eq!(shop.offset('A').await, None);

    let by_data_centre = "{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}";
    let keyspace = Keyspace::replicated(by_data_centre).await;
    let each = format!("{}?consistency=each_quorum", keyspace.url);
    assert_eq!(Program::pipeline_a(&shop.url, &each).report().await["status"], "ok");
}

#[tokio::test]
async fn a_cassandra_that_goes_away_in_the_middle_of_a_write_and_comes_back_is_waited_for() {
    let (world, proxy) = (World::seeded().await, TcpProxy::start(services::cassandra()).await);
    let run = Program::pipeline_a(&world.shop.url, &world.keyspace.at(&proxy.address));
    let few = ["--write-parallelism", "8"];
    let running = run.args(few).env("FAILPOINT", "profile_written=STOP@5").start();
    running.until_stopped().await;
    proxy.cut();
    running.wake().await;
    proxy.until_refused().await;
    proxy.restore();
    let finished = running.wait().await;
    assert_eq!(finished.code, 0, "{finished:#?}");
    world.assert_settles('A').await;
}

#[tokio::test]
async fn a_cassandra_that_stays_away_ends_with_1_and_the_next_run_is_right() {
    let (world, proxy) = (World::messy().await, TcpProxy::start(services::cassandra()).await);
    let run = Program::pipeline_a(&world.shop.url, &world.keyspace.at(&proxy.address));
    let run = run.args(["--max-quarantine-ratio", "1"]).env("FAILPOINT", "profile_written=STOP@3").start();
    run.until_stopped().await;
    proxy.cut();
    run.wake().await;
    let failed = run.wait_for(LONG).await;
    let message = failed.failed_with(1);
    assert!(message.contains(&proxy.address) && message.contains("the store may be down"), "{message}");
    assert_eq!(world.shop.offset('A').await, None);
    world.pipeline_a().report().await;
    world.assert_settles('A').await;
}
