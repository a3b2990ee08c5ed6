//! The same programs on files alone: SQLite and a directory, in a folder whose name has a blank.

use tests::compare::assert_same;
use tests::duckdb::Summaries;
use tests::program::Program;
use tests::shop::Sizes;
use tests::sqlite::Files;

const SIZES: Sizes = Sizes { customers: 100, products: 20, transactions: 3_000 };

#[tokio::test]
async fn profiles_in_sqlite_equal_sql_again_after_new_rows_and_a_second_run_is_idle() {
    let files = Files::seeded(&SIZES).await;
    let run = || Program::pipeline_a(&files.source(), &files.profile_store()).report();
    assert_eq!(run().await["status"], "ok");
    let expected = files.expected_profiles().await;
    assert_same(&files.profiles().await, &expected);
    assert_eq!(run().await["status"], "idle");

    append(&files).await;
    assert_eq!(run().await["status"], "ok");
    let appended = files.expected_profiles().await;
    assert_ne!(appended, expected);
    assert_same(&files.profiles().await, &appended);
}

#[tokio::test]
async fn summaries_in_a_directory_equal_sql_again_after_new_rows_and_a_second_run_is_idle() {
    let files = Files::seeded(&SIZES).await;
    let run = || Program::pipeline_b(&files.source(), &files.lake()).report();
    let read = async || Summaries::read(&files.folder.path().join("lake")).await;
    assert_eq!(run().await["status"], "ok");
    assert_same(&read().await.rows, &files.expected_summaries().await);
    assert_eq!(read().await.dates().len(), 20);
    assert_eq!(run().await["status"], "idle");

    append(&files).await;
    assert_eq!(run().await["status"], "ok");
    assert_same(&read().await.rows, &files.expected_summaries().await);
    assert_eq!(read().await.dates().len(), 22);
}

async fn append(files: &Files) {
    let source = files.source();
    let appended =
        Program::new("producer").args(["append", "--source", &source, "--per-day", "20"]).run().await;
    assert_eq!(appended.code, 0, "{appended:#?}");
}
