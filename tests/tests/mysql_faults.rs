//! Pipelines A and B and a MySQL whose connections break.

use tests::program::Program;
use tests::services;
use tests::tcp_proxy::TcpProxy;
use tests::world::World;

/// More than the questions before the transactions are answered with, less than the transactions themselves.
const IN_THE_MIDDLE_BYTES: u64 = 20_000;

/// A pipeline whose source is behind `proxy`.
fn through(proxy: &TcpProxy, world: &World, letter: char) -> Program {
    let server = services::mysql();
    let address = server.rsplit('@').next().unwrap();
    let source = world.shop.url.replace(address, &proxy.address);
    let program = match letter {
        'A' => Program::pipeline_a(&source, &world.keyspace.url),
        _ => Program::pipeline_b(&source, &world.lake.url),
    };
    program.args(["--max-quarantine-ratio", "1"]).env("LEASE_TTL", "300ms")
}

async fn proxy() -> TcpProxy {
    let server = services::mysql();
    TcpProxy::start(server.rsplit('@').next().unwrap().to_owned()).await
}

#[tokio::test]
async fn a_connection_that_breaks_while_rows_are_read_ends_with_1_and_the_next_run_is_right() {
    let (world, proxy) = (World::seeded().await, proxy().await);
    for letter in ['A', 'B'] {
        proxy.cut_after(IN_THE_MIDDLE_BYTES);
        let failed = through(&proxy, &world, letter).run().await;
        let message = failed.failed_with(1);
        assert!(message.contains("cannot read transactions in mysql://"), "{message}");
        assert_eq!(world.shop.offset(letter).await, None);
        proxy.restore();
        world.until_lease_expired(letter).await;
        through(&proxy, &world, letter).report().await;
        world.assert_settles(letter).await;
    }
}

/// The connection breaks at `steps`, one run each, and comes back only after the run has ended.
async fn assert_survives(letter: char, steps: &[&str]) {
    let (world, proxy) = (World::messy().await, proxy().await);
    for step in steps {
        let running = through(&proxy, &world, letter).env("FAILPOINT", step).start();
        running.until_stopped().await;
        proxy.cut();
        running.wake().await;
        let failed = running.wait().await;
        let message = failed.failed_with(1);
        assert!(message.contains("mysql://") && !message.contains("panicked"), "{step}: {message}");
        assert_eq!(failed.report()["status"], "failed", "{step}");
        assert_eq!(world.shop.offset(letter).await, None, "{step}");
        proxy.restore();
        world.until_lease_expired(letter).await;
    }
    world.pipeline(letter).report().await;
    world.assert_settles(letter).await;
}

#[tokio::test]
async fn a_connection_that_breaks_before_during_or_after_the_writes_of_a_leaves_the_offset_where_it_is() {
    assert_survives('A', &["examined=STOP", "written=STOP", "before_commit=STOP"]).await;
}

#[tokio::test]
async fn a_connection_that_breaks_before_during_or_after_the_writes_of_b_leaves_the_offset_where_it_is() {
    assert_survives('B', &["examined=STOP", "listed=STOP", "before_commit=STOP"]).await;
}
