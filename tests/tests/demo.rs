//! The demo, as a newcomer starts it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use tests::duckdb::Summaries;
use tests::events::Events;
use tests::http;
use tests::program::Program;

/// Less than a newcomer gets, for the test's time.
fn demo(folder: &Path) -> Program {
    let sizes = ["--customers", "300", "--products", "50", "--transactions", "10000", "--events", "6000"];
    Program::new("demo").args(["--folder", folder.to_str().unwrap(), "--listen", "127.0.0.1:0"]).args(sizes)
}

/// Read, written and quarantined by each pipeline, from the table that it prints.
fn table(printed: &str) -> BTreeMap<&str, [u64; 3]> {
    let rows = printed.lines().filter(|line| line.trim_start().starts_with("pipeline-"));
    rows.map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[0], [1, 2, 3].map(|column| words[column].parse().unwrap()))
    })
    .collect()
}

#[tokio::test]
async fn one_round_ends_by_itself_and_its_lake_holds_what_its_table_says_twice_in_the_same_folder() {
    let folder = TempDir::new().unwrap();
    for start in ["first", "second"] {
        let ended = demo(folder.path()).args(["--exit"]).run().await;
        assert_eq!(ended.code, 0, "{start}: {ended:#?}");
        let printed = &ended.stdout;
        let table = table(printed);
        let [read_a, written_a, quarantined_a] = table["pipeline-a"];
        let [read_b, written_b, quarantined_b] = table["pipeline-b"];
        let [read_c, written_c, quarantined_c] = table["pipeline-c"];
        assert_eq!((read_a, read_b, read_c), (10_000, 10_000, 6_000), "{printed}");
        assert_eq!((quarantined_a, quarantined_b), (0, 0), "{printed}");
        assert!((1..=300).contains(&written_a), "{printed}");

        let lake = folder.path().join("lake");
        let summaries = Summaries::read(&lake).await.rows.len();
        assert_eq!(u64::try_from(summaries).unwrap(), written_b, "{printed}");
        let events = Events::read(&lake).await.rows;
        assert_eq!(events.events.values().sum::<u64>(), written_c, "{printed}");
        assert_eq!(u64::try_from(events.malformed.len()).unwrap(), quarantined_c, "{printed}");
        assert_eq!(read_c, written_c + quarantined_c, "{printed}");
        assert!(quarantined_c > 0, "{printed}");

        let results: Vec<Value> =
            printed.lines().filter_map(|line| serde_json::from_str(line.trim()).ok()).collect();
        assert_eq!(results.len(), 5, "five lines of results: {printed}");
        assert_eq!(results[0]["email"], "customer_1@example.com", "{printed}");
        let event = (results[3]["event_id"].as_str().unwrap(), &results[3]["customer_id"]);
        assert!(
            events.events.keys().any(|row| row.event_id == event.0 && row.customer_id == *event.1),
            "{printed}"
        );
    }
}

#[tokio::test]
async fn it_answers_and_goes_on_until_it_is_interrupted() {
    let folder = TempDir::new().unwrap();
    let mut running = demo(folder.path()).start();
    let (mut printed, mut address) = (String::new(), None);
    let address = loop {
        let line = running.next_line().await;
        printed = printed + &line + "\n";
        let told = line.strip_prefix("the API answers at http://").and_then(|rest| rest.split(';').next());
        address = address.or(told.map(str::to_owned));
        if line.contains("Ctrl-C") {
            break address.expect("its address is told");
        }
    };
    // Every curl line that it suggests works.
    let suggested = printed.lines().filter_map(|line| line.trim().strip_prefix("curl "));
    let paths = suggested.map(|url| url.trim_matches('\'').split_once(&address).expect("its own address").1);
    let paths: Vec<&str> = paths.collect();
    assert!(paths.len() >= 3, "{printed}");
    for path in paths {
        let answer = http::get(&address, path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let later = running.next_line().await;
    assert!(later.contains("A wrote") && later.contains("B wrote") && later.contains("C wrote"), "{later}");
    let before = events(folder.path()).await;
    running.next_line().await;
    assert!(events(folder.path()).await > before, "events go on");

    let ended = running.interrupt().await;
    assert_eq!(ended.code, 0, "{ended:#?}");
}

async fn events(folder: &Path) -> u64 {
    Events::read(&folder.join("lake")).await.rows.events.values().sum()
}
