//! Every answer against `/openapi.json`, with requests that another program makes up from it.

use std::time::Duration;

use tempfile::TempDir;
use tests::api::Api;
use tests::{expected, services};
use tokio::process::Command;
use tokio::time::timeout;

use crate::api::World;

/// Requests made up for each path and phase.
const MAX_EXAMPLES: &str = "80";

const TIMEOUT: Duration = Duration::from_mins(1);

#[tokio::test]
async fn every_answer_is_as_the_document_says() {
    let world = World::new().await;
    let api = Api::start(&world.keyspace.url, &world.lake.url).await;

    let folder = TempDir::new().unwrap();
    let dates = expected::summaries(&world.shop, expected::Amounts::Warned).await;
    let mut dates: Vec<String> = dates.into_keys().map(|(date, _)| format!("{date:?}")).collect();
    dates.dedup();
    let config = include_str!("schemathesis.toml").replace("DATES", &dates.join(", "));
    std::fs::write(folder.path().join("schemathesis.toml"), config).unwrap();
    let run = Command::new(services::python())
        .args(["-m", "schemathesis.cli", "--no-color", "run", &format!("{}/openapi.json", api.url())])
        .args(["--checks", "all", "--phases", "coverage,fuzzing", "--max-examples", MAX_EXAMPLES])
        .args(["--seed", "1", "--generation-database", "none", "--warnings", "off"])
        .current_dir(folder.path())
        .kill_on_drop(true)
        .output();
    let ran = timeout(TIMEOUT, run).await.expect("it takes longer than a minute").unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(api.terminate().await.code, 0);
}
