//! The observer of the other tests can fail.

use std::fs;
use std::path::PathBuf;

use tests::observer::Observer;
use tests::store::Store;
use tests::topic::Topic;

/// What an observer says when `change` happens to the first of the two data files under its eyes.
async fn said(change: impl FnOnce(&PathBuf, &PathBuf)) -> String {
    let topic = Topic::empty(1).await;
    topic.produce("--count 200 --odd-ratio 0 --from 2025-01-01 --to 2025-01-03").await;
    let store = Store::directory();
    topic.pipeline_c(&store.url()).report().await;
    let dates = fs::read_dir(store.copy().await.path().join("events")).unwrap();
    let files = dates.flat_map(|date| fs::read_dir(date.unwrap().path()).unwrap());
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let [first, second] = &files[..] else { panic!("a file a date: {files:?}") };
    let observer = Observer::of(&store.url()).await;
    change(first, second);
    observer.try_stop().await.unwrap_err()
}

#[tokio::test]
async fn the_observer_notices_rows_that_are_there_twice() {
    let said = said(|first, _| {
        fs::copy(first, first.with_file_name("again.parquet")).unwrap();
    });
    let said = said.await;
    assert!(said.contains("again.parquet and in "), "{said}");
}

#[tokio::test]
async fn the_observer_notices_a_file_that_is_gone() {
    let said = said(|first, _| fs::remove_file(first).unwrap()).await;
    assert!(said.contains("parquet is gone, with "), "{said}");
}

#[tokio::test]
async fn the_observer_notices_rows_that_are_gone_from_a_file_that_was_replaced() {
    let said = said(|first, second| {
        // Whatever it reads first, something is not where it was.
        fs::rename(second, first).unwrap();
    });
    let said = said.await;
    assert!(said.contains("is gone") || said.contains("are gone"), "{said}");
}

#[tokio::test]
async fn the_observer_notices_half_a_file() {
    let half = |first: &PathBuf, _: &PathBuf| {
        let bytes = fs::read(first).unwrap();
        fs::write(first.with_file_name("half.parquet"), &bytes[..bytes.len() / 2]).unwrap();
    };
    let said = said(half).await;
    assert!(said.contains("half.parquet cannot be read"), "{said}");
}
