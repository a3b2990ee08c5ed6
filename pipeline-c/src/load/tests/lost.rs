//! Files that were committed and are gone before they are visible.

use super::*;

/// Commits 50..100 on top of 0..50 and publishes nothing of it.
async fn killed_before_publishing(bench: &Bench) -> Vec<Pending> {
    let mut loader = bench.claim().await;
    bench.flush(&mut loader, 0..50).await;
    let staged = bench.stage(&mut loader, 50..100).await;
    loader.commit(staged, 100, at(1)).await.unwrap();
    loader.ledger.state().pending.clone()
}

const LOG: LogRange = LogRange { start: 0, end: 1_000 };

#[tokio::test]
async fn a_batch_whose_uploads_are_gone_is_named_and_read_again_where_that_is_asked_for() {
    // All of them, or one: the others are not visible either.
    for gone in [4, 1] {
        let mut bench = Bench::new().await;
        let pending = killed_before_publishing(&bench).await;
        for pending in &pending[..gone] {
            bench.lake.abort(&pending.staged).await.unwrap();
        }
        if gone == 4 {
            let message = bench.claim_in(LOG).await.unwrap_err().to_string();
            assert!(message.contains("--on-lost-file skip") && message.contains("offsets from"), "{message}");
            assert!(pending.iter().any(|pending| message.contains(&pending.file.path)), "{message}");
            bench.assert_once(50).await;
        }
        bench.gates.on_lost_file = OnLostFile::Skip;
        let mut loader = bench.claim().await;
        assert_eq!((loader.next_offset(), loader.ledger.state().lost_files.len()), (50, 0));
        bench.assert_once(50).await;
        bench.flush(&mut loader, 50..120).await;
        bench.assert_once(120).await;
        assert_eq!(bench.uploads().await, []);
    }
}

#[tokio::test]
async fn a_file_that_is_gone_after_others_of_its_commit_are_visible_is_given_up_and_recorded() {
    let mut bench = Bench::new().await;
    let pending = killed_before_publishing(&bench).await;
    bench.lake.publish(&pending[0].staged, &pending[0].expect).await.unwrap();
    bench.lake.abort(&pending[1].staged).await.unwrap();
    assert!(
        matches!(bench.claim_in(LOG).await, Err(Error::Lost { path, .. }) if path == pending[1].file.path)
    );
    bench.gates.on_lost_file = OnLostFile::Skip;
    let mut loader = bench.claim().await;
    assert_eq!(loader.next_offset(), 100);
    let lost: Vec<_> = loader.ledger.state().lost_files.iter().map(|lost| lost.file.path.clone()).collect();
    assert_eq!(lost, [pending[1].file.path.clone()]);
    bench.flush(&mut loader, 100..120).await;
    let found = bench.read(Stream::Events).await.0.len() + bench.read(Stream::Malformed).await.0.len();
    let visible_before = u64::try_from(found).unwrap();
    assert!((90..120).contains(&visible_before), "{visible_before} rows");
}

#[tokio::test]
async fn a_tail_that_was_removed_under_its_replacement_comes_back_with_all_its_rows() {
    let mut bench = Bench::new().await;
    let pending = killed_before_publishing(&bench).await;
    let path = &pending[0].file.path;
    let standing = bench.lake.head(path).await.unwrap().unwrap();
    bench.lake.delete(path, &standing.version).await.unwrap();
    assert!(matches!(bench.claim_in(LOG).await, Err(Error::Lost { .. })));
    bench.gates.on_lost_file = OnLostFile::Skip;
    let mut loader = bench.claim().await;
    assert_eq!(loader.next_offset(), 100);
    bench.assert_once(100).await;
    bench.flush(&mut loader, 100..120).await;
    bench.assert_once(120).await;
}

#[tokio::test]
async fn a_move_whose_files_are_gone_is_undone_and_can_be_made_again() {
    let mut bench = Bench::new().await;
    bench.flush(&mut bench.claim().await, 0..100).await;
    bench.claim().await.settle(at(2)).await.unwrap();
    let malformed = bench.lake.list(Stream::Malformed.table()).await.unwrap();
    let outputs: Vec<_> = batch(0..100)
        .into_outputs(&bench.place, at(86_400 * 30))
        .into_iter()
        .filter(|output| output.stream == Stream::Malformed)
        .collect();
    // Malformed records move to another date's folder; one of two new files is gone before it is visible.
    let mut loader = bench.claim().await;
    let mut moved = loader.begin_move().await.unwrap();
    loader.move_in(&mut moved, &outputs, 0).await.unwrap();
    let lost = moved.added[0].staged.clone();
    let beside = batch(0..100).into_outputs(&bench.place, at(86_400 * 60));
    let beside: Vec<_> = beside.into_iter().filter(|output| output.stream == Stream::Malformed).collect();
    loader.move_in(&mut moved, &beside, 0).await.unwrap();
    let other = moved.added[1].clone();
    moved.remove(&malformed[0]);
    bench.lake.abort(&lost).await.unwrap();
    assert!(matches!(loader.commit_move(moved, at(3)).await, Err(Error::Lost { .. })));
    bench.lake.publish(&other.staged, &other.expect).await.unwrap();

    assert!(matches!(bench.claim_in(LOG).await, Err(Error::Lost { .. })));
    bench.gates.on_lost_file = OnLostFile::Skip;
    let mut loader = bench.claim().await;
    bench.assert_once(100).await;
    let mut moved = loader.begin_move().await.unwrap();
    loader.move_in(&mut moved, &outputs, 0).await.unwrap();
    moved.remove(&malformed[0]);
    loader.commit_move(moved, at(3)).await.unwrap();
    bench.assert_once(100).await;
}

#[tokio::test]
async fn what_was_staged_and_committed_after_the_uploads_were_listed_is_not_lost() {
    let mut bench = Bench::new().await;
    bench.gates.on_lost_file = OnLostFile::Skip;
    let mut other = bench.claim().await;
    let standing = bench.standing().await;
    let staged = bench.stage(&mut other, 0..100).await;
    other.commit(staged, 100, at(1)).await.unwrap();
    let first = other.ledger.state().pending[0].clone();
    bench.lake.publish(&first.staged, &first.expect).await.unwrap();
    let loader = bench.claim_after(&standing, LOG).await.unwrap();
    assert_eq!((loader.next_offset(), loader.ledger.state().lost_files.len()), (100, 0));
    bench.assert_once(100).await;
}

#[tokio::test]
async fn a_batch_that_kafka_does_not_have_any_more_is_published_but_for_what_is_gone() {
    let mut bench = Bench::new().await;
    bench.gates.on_lost_file = OnLostFile::Skip;
    let pending = killed_before_publishing(&bench).await;
    bench.lake.abort(&pending[0].staged).await.unwrap();
    let loader = bench.claim_in(LogRange { start: 60, end: 1_000 }).await.unwrap();
    let lost: Vec<_> = loader.ledger.state().lost_files.iter().map(|lost| lost.file.path.clone()).collect();
    assert_eq!((loader.next_offset(), lost), (100, vec![pending[0].file.path.clone()]));
    let found = bench.read(Stream::Events).await.0.len() + bench.read(Stream::Malformed).await.0.len();
    assert!((75..100).contains(&found), "{found} rows");
}

#[tokio::test]
async fn a_move_whose_new_files_are_all_visible_is_not_undone_since_a_command_may_go_on_with_it() {
    let mut bench = Bench::new().await;
    bench.flush(&mut bench.claim().await, 0..100).await;
    bench.gates.on_lost_file = OnLostFile::Skip;
    let mut command = bench.visit().await;
    let mut moved = bench.rewrite_all(&mut command).await;
    let outputs: Vec<_> = batch(0..100)
        .into_outputs(&bench.place, at(86_400 * 30))
        .into_iter()
        .filter(|output| output.stream == Stream::Malformed)
        .collect();
    command.move_in(&mut moved, &outputs, 0).await.unwrap();
    let added = moved.added[0].clone();
    for left in &moved.left {
        bench.lake.abort(&left.staged).await.unwrap();
    }
    assert!(matches!(command.commit_move(moved, at(3)).await, Err(Error::Lost { .. })));
    assert!(bench.lake.head(&added.file.path).await.unwrap().is_some(), "it is visible");
    let error = bench.claim_in(LOG).await.unwrap_err();
    assert!(matches!(error, Error::HalfMoved { .. }), "{error}");
    assert!(bench.lake.head(&added.file.path).await.unwrap().is_some(), "and stays");
}
