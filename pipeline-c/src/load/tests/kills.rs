//! Kills at each step, and owners that wake after another has taken over.

use super::*;

#[tokio::test]
async fn killed_after_staging_nothing_is_visible_and_the_next_owner_cleans_up() {
    let bench = Bench::new().await;
    let mut loader = bench.claim().await;
    let staged = bench.stage(&mut loader, 0..100).await;
    drop((staged, loader));
    bench.assert_once(0).await;
    assert!(!bench.uploads().await.is_empty());
    let mut next = bench.claim().await;
    assert_eq!(next.next_offset(), 0);
    assert_eq!(bench.uploads().await, []);
    bench.flush(&mut next, 0..100).await;
    bench.assert_once(100).await;
}

#[tokio::test]
async fn killed_after_the_commit_the_next_owner_publishes() {
    let bench = Bench::new().await;
    let mut loader = bench.claim().await;
    bench.flush(&mut loader, 0..50).await;
    let staged = bench.stage(&mut loader, 50..100).await;
    loader.commit(staged, 100, at(1)).await.unwrap();
    drop(loader);
    bench.assert_once(50).await;
    let mut next = bench.claim().await;
    bench.assert_once(100).await;
    assert_eq!(next.next_offset(), 100);
    bench.flush(&mut next, 100..150).await;
    bench.assert_once(150).await;
}

#[tokio::test]
async fn killed_after_publishing_or_in_the_middle_of_it_publishing_again_changes_nothing() {
    let bench = Bench::new().await;
    let mut loader = bench.claim().await;
    let staged = bench.stage(&mut loader, 0..100).await;
    loader.commit(staged, 100, at(1)).await.unwrap();
    let first = &loader.ledger.state().pending[0];
    bench.lake.publish(&first.staged, &first.expect).await.unwrap();
    drop(loader);
    drop(bench.claim().await);
    bench.assert_once(100).await;
    let mut again = bench.claim().await;
    bench.flush(&mut again, 100..200).await;
    bench.assert_once(200).await;
    let (_, files) = bench.read(Stream::Events).await;
    assert_eq!(files, 3, "the tails were rewritten");
}

#[tokio::test]
async fn whatever_the_order_of_kills_each_record_is_one_row() {
    for seed in 0..12_u64 {
        let bench = Bench::new().await;
        let mut random = seed * 7_919 + 1;
        let mut next = move |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let mut zombies = Vec::new();
        let mut loader = bench.claim().await;
        for _ in 0..12 {
            let from = loader.next_offset();
            let to = from + i64::try_from(next(40) + 1).unwrap();
            let step = next(6);
            if step > 0 {
                let staged = bench.stage(&mut loader, from..to).await;
                if step > 1 {
                    loader.commit(staged, to, at(1)).await.unwrap();
                }
                if step > 2 {
                    loader.publish().await.unwrap();
                }
                if step > 4 {
                    loader.settle(at(2)).await.unwrap();
                }
            }
            if step < 4 {
                zombies.push(std::mem::replace(&mut loader, bench.claim().await));
            }
        }
        // Those that were only stopped go on where they were.
        for mut zombie in zombies {
            let _ = zombie.publish().await;
            let from = zombie.next_offset();
            if let Ok(staged) = zombie.stage(&batch(from..from + 9).into_outputs(&bench.place, at(1))).await {
                assert!(matches!(zombie.commit(staged, from + 9, at(1)).await, Err(Error::Fenced { .. })));
            }
        }
        let end = loader.next_offset();
        bench.assert_once(end).await;
        bench.flush(&mut bench.claim().await, end..end + 5).await;
        bench.assert_once(end + 5).await;
        assert_eq!(bench.uploads().await, [], "seed {seed}");
    }
}

#[tokio::test]
async fn an_owner_that_was_fenced_publishes_nothing_and_throws_its_files_away() {
    let bench = Bench::new().await;
    let mut old = bench.claim().await;
    let staged = bench.stage(&mut old, 0..100).await;
    let mut new = bench.claim().await;
    let also_staged = bench.stage(&mut new, 0..60).await;
    let error = old.commit(staged, 100, at(1)).await.unwrap_err();
    assert!(matches!(error, Error::Fenced { epoch: 2, .. }), "{error}");
    new.commit(also_staged, 60, at(1)).await.unwrap();
    new.publish().await.unwrap();
    bench.assert_once(60).await;
    assert_eq!(bench.uploads().await, []);
}

#[tokio::test]
async fn a_batch_that_the_next_owner_made_visible_counts_as_written() {
    let bench = Bench::new().await;
    let mut owner = bench.claim().await;
    let outputs = bench.outputs(0..30);
    let staged = owner.stage(&outputs).await.unwrap();
    owner.commit(staged, 30, at(1)).await.unwrap();
    let mut next = bench.claim().await;
    // What the batch was published to is replaced already.
    bench.flush(&mut next, 30..60).await;
    owner.write(&outputs, 30, at(1)).await.unwrap();
    let error = owner.write(&bench.outputs(30..60), 60, at(2)).await.unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error}");
    bench.assert_once(60).await;
}
