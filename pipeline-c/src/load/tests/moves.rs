//! A command that moves rows beside the owner.

use super::*;

#[tokio::test]
async fn a_command_and_the_owner_write_in_turn_and_no_row_is_lost_or_doubled() {
    let bench = Bench::new().await;
    let mut owner = bench.claim().await;
    bench.flush(&mut owner, 0..30).await;
    // The command replaces the owner's tails while the owner writes on.
    let mut command = bench.visit().await;
    let moved = bench.rewrite_all(&mut command).await;
    owner.write(&bench.outputs(30..60), 60, at(2)).await.unwrap();
    let error = command.commit_move(moved, at(2)).await.unwrap_err();
    assert!(matches!(error, Error::Rearranged { .. }), "{error}");
    let moved = bench.rewrite_all(&mut command).await;
    command.commit_move(moved, at(2)).await.unwrap();
    bench.assert_once(60).await;
    owner.write(&bench.outputs(60..90), 90, at(3)).await.unwrap();
    bench.assert_once(90).await;

    // A commit whose answer was lost before a command's is not made again.
    let mut lost_its_answer = bench.visit().await;
    owner.write(&bench.outputs(90..100), 100, at(4)).await.unwrap();
    lost_its_answer.write(&bench.outputs(90..100), 100, at(4)).await.unwrap();
    bench.assert_once(100).await;
    assert_eq!(bench.uploads().await, []);
}

#[tokio::test]
async fn a_command_lets_an_owner_that_it_was_faster_than_write_first() {
    let bench = Bench::new().await;
    let mut owner = bench.claim().await;
    bench.flush(&mut owner, 0..30).await;
    let mut command = bench.visit().await;
    let moved = bench.rewrite_all(&mut command).await;
    owner.ledger.take_turn().await.unwrap();
    let writes = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        owner.ledger.check_owner().await.expect("nobody has written");
        owner.write(&bench.outputs(30..31), 31, at(2)).await.unwrap();
    };
    let (moved, ()) = tokio::join!(command.commit_move(moved, at(2)), writes);
    assert!(
        matches!(moved, Err(Error::Rearranged { .. })),
        "the owner has rewritten one of the files meanwhile"
    );
    bench.assert_once(31).await;
}

#[tokio::test]
async fn what_a_command_staged_before_another_instance_claims_is_thrown_away_and_not_committed() {
    let bench = Bench::new().await;
    let mut owner = bench.claim().await;
    bench.flush(&mut owner, 0..30).await;
    let mut command = bench.visit().await;
    let moved = bench.rewrite_all(&mut command).await;
    bench.claim().await;
    let error = command.commit_move(moved, at(2)).await.unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error}");
    bench.assert_once(30).await;
}
