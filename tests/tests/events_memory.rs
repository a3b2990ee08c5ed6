//! Pipeline C's memory does not grow with the backlog.

use tests::lake::Lake;
use tests::long;
use tests::topic::Topic;

/// The program itself, and freed memory.
const BESIDES_MIB: u64 = 96;

#[tokio::test]
async fn a_long_backlog_takes_no_more_memory_than_the_limit_and_the_program() {
    const PIECES: u64 = 8;
    const PIECE: u64 = 500_000;
    if !long() {
        return;
    }
    let (topic, lake) = (Topic::empty(4).await, Lake::empty().await);
    for _ in 0..PIECES {
        topic.produce(&format!("--count {PIECE} --from 2025-01-01 --to 2025-01-21")).await;
    }
    let run = topic.pipeline_c(&lake.url).args(["--every", "1s", "--max-memory", "64MiB"]);
    let mut running = run.start();
    let mut read = 0;
    while read < PIECES * PIECE {
        read += running.next_report().await["read"].as_u64().unwrap();
    }
    let peak_mib = running.peak_mib();
    let ended = running.terminate().await;
    assert_eq!(ended.code, 0, "{ended:#?}");
    assert!(peak_mib < 64 + BESIDES_MIB, "{peak_mib} MiB");
}
