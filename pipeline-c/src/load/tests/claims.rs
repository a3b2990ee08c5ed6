//! What stops a claim, and with which setting it goes on.

use super::*;

#[tokio::test]
async fn a_gap_stops_unless_it_is_to_be_skipped_and_is_recorded_then() {
    let mut bench = Bench::new().await;
    bench.flush(&mut bench.claim().await, 0..10).await;
    let log = LogRange { start: 15, end: 40 };
    let error = bench.claim_in(log).await.unwrap_err();
    assert!(
        error.to_string().contains("t-1-0: the log starts at offset 15, but 10 is next: 5 records"),
        "{error}"
    );
    bench.gates.on_gap = OnGap::Skip;
    let loader = bench.claim_in(log).await.unwrap();
    assert_eq!(loader.next_offset(), 15);
    let lost = &loader.ledger.state().lost[0];
    assert_eq!((lost.from, lost.to), (10, 15));
}

#[tokio::test]
async fn a_topic_made_anew_stops_unless_it_is_to_be_read_from_its_beginning() {
    let mut bench = Bench::new().await;
    bench.flush(&mut bench.claim().await, 0..10).await;
    let log = LogRange { start: 0, end: 5 };
    let error = bench.claim_in(log).await.unwrap_err();
    assert!(error.to_string().contains("--on-new-topic restart"), "{error}");
    bench.gates.on_new_topic = OnNewTopic::Restart;
    let mut loader = bench.claim_in(log).await.unwrap();
    assert_eq!(loader.next_offset(), 0);
    bench.flush(&mut loader, 0..5).await;
    bench.flush(&mut loader, 5..8).await;
    // Both topics' rows are there: 9 and 7 events, each of the first 8 twice but for the malformed.
    assert_eq!(bench.read(Stream::Events).await.0.len(), 9 + 7);
    assert_eq!(bench.read(Stream::Events).await.1, 6);
}

#[tokio::test]
async fn a_state_object_that_cannot_be_read_stops_the_claim() {
    let bench = Bench::new().await;
    bench.claim().await;
    let path = bench.place.state_path();
    bench.lake.put(&path, "{\"version\":9}".into(), &Expect::Any).await.unwrap();
    let log = LogRange { start: 0, end: 9 };
    assert!(matches!(bench.claim_in(log).await, Err(Error::StateVersion { found: 9, .. })));
    bench.lake.put(&path, "{".into(), &Expect::Any).await.unwrap();
    assert!(matches!(bench.claim_in(log).await, Err(Error::StateDamaged { .. })));
}

#[tokio::test]
async fn a_state_object_that_was_removed_stops_the_claim_while_files_of_the_partition_stand() {
    let bench = Bench::new().await;
    // Files of others do not matter to a new partition.
    let date = chrono::NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    let other = Place { topic: "t-1".into(), partition: PartitionId(1) };
    for stranger in
        [other.file_path(Stream::Events, date, 0, 0), "events/event_date=2026-01-01/x.parquet".into()]
    {
        bench.lake.put(&stranger, "another's".into(), &Expect::Absent).await.unwrap();
    }
    let mut loader = bench.claim().await;
    // Only a malformed record.
    bench.flush(&mut loader, 0..1).await;
    let path = bench.place.state_path();
    let standing = bench.lake.head(&path).await.unwrap().unwrap();
    bench.lake.delete(&path, &standing.version).await.unwrap();

    let error = bench.claim_in(LogRange { start: 0, end: 9 }).await.unwrap_err();
    let file = bench.lake.list(Stream::Malformed.table()).await.unwrap().remove(0);
    let message = error.to_string();
    assert!(message.contains(&file.path) && message.contains(&path), "{message}");
    assert_eq!(bench.lake.head(&path).await.unwrap(), None, "nothing was claimed");
    bench.lake.delete(&file.path, &file.version).await.unwrap();
    assert_eq!(bench.claim().await.next_offset(), 0);
}
