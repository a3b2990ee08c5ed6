//! Which files are written, and which are left alone.

use super::*;

#[tokio::test]
async fn files_that_someone_else_put_there_are_left_alone() {
    let bench = Bench::new().await;
    let mut loader = bench.claim().await;
    let staged = bench.stage(&mut loader, 0..100).await;
    let path = staged.files[0].file.path.clone();
    bench.lake.put(&path, "foreign".into(), &Expect::Any).await.unwrap();
    loader.commit(staged, 100, at(1)).await.unwrap();
    let error = loader.publish().await.unwrap_err();
    assert!(matches!(&error, Error::Foreign { path: found, .. } if *found == path), "{error}");
    assert_eq!(bench.lake.get(&path).await.unwrap().unwrap().0, "foreign");
    let standing = bench.lake.head(&path).await.unwrap().unwrap();
    bench.lake.delete(&path, &standing.version).await.unwrap();
    bench.claim().await;
    bench.assert_once(100).await;
}

#[tokio::test]
async fn a_tail_that_was_replaced_by_someone_is_an_error_and_one_that_was_removed_is_not() {
    let bench = Bench::new().await;
    let mut loader = bench.claim().await;
    bench.flush(&mut loader, 1..4).await;
    // The first date's file holds the event at offset 3.
    let path = loader.ledger.state().pending.iter().map(|pending| pending.file.path.clone()).min().unwrap();
    bench.lake.put(&path, "foreign".into(), &Expect::Any).await.unwrap();
    let outputs = batch(4..7).into_outputs(&bench.place, at(1));
    assert!(matches!(loader.stage(&outputs).await, Err(Error::Foreign { .. })));
    loader.settle(at(2)).await.unwrap();
    let standing = bench.lake.head(&path).await.unwrap().unwrap();
    bench.lake.delete(&path, &standing.version).await.unwrap();
    let mut loader = bench.claim().await;
    bench.flush(&mut loader, 4..7).await;
    assert_eq!(bench.read(Stream::Events).await.0, [1, 2, 4, 5, 6]);
}

#[tokio::test]
async fn a_file_that_has_the_target_size_is_sealed_and_append_never_rewrites() {
    for rule in [TailRule { target_bytes: 1, ..RULE }, TailRule { mode: TailMode::Append, ..RULE }] {
        let mut bench = Bench::new().await;
        bench.rule = rule;
        let mut loader = bench.claim().await;
        for start in [0, 30, 60] {
            bench.flush(&mut loader, start..start + 30).await;
        }
        bench.assert_once(90).await;
        assert_eq!(bench.read(Stream::Events).await.1, 9);
        assert_eq!(bench.read(Stream::Malformed).await.1, 3);
    }
}

#[tokio::test]
async fn large_files_have_small_row_groups_and_stay_sorted_when_they_are_merged() {
    let mut bench = Bench::new().await;
    bench.rule.target_bytes = u64::MAX;
    let mut loader = bench.claim().await;
    bench.flush(&mut loader, 0..100_000).await;
    bench.flush(&mut loader, 100_000..100_100).await;
    bench.flush(&mut loader, 100_100..190_000).await;
    bench.assert_once(190_000).await;
    assert_eq!(bench.read(Stream::Events).await.1, 3);
}
