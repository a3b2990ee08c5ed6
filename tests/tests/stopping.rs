//! Signals in the middle of a run, and runs that repeat.

use serde_json::Value;
use sqlx::Row;
use sqlx::mysql::MySqlConnection;
use sqlx::pool::PoolConnection;
use tests::compare::assert_same;
use tests::duckdb::Summaries;
use tests::expected::{self, Amounts};
use tests::keyspace::Keyspace;
use tests::lake::Lake;
use tests::program::{Finished, Program};
use tests::shop::{Shop, Sizes};

/// Starts `program`, which runs into the lock, sends it SIGTERM there, and gives the lock back.
async fn stopped_at(shop: &Shop, table: &str, lock: &str, program: Program) -> Finished {
    let mut holder: PoolConnection<sqlx::MySql> = shop.db.acquire().await.unwrap();
    let connection: &mut MySqlConnection = &mut holder;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("LOCK TABLES {table} {lock}")))
        .execute(connection)
        .await
        .unwrap();
    let running = program.start();
    shop.until_blocked_on(table).await;
    let finished = running.terminate().await;
    sqlx::raw_sql("UNLOCK TABLES").execute(&mut *holder).await.unwrap();
    finished
}

#[tokio::test]
async fn a_signal_while_reading_or_before_the_commit_ends_with_0_and_the_next_run_is_right() {
    let (shop, keyspace) = (Shop::seeded(&Sizes::SMALL).await, Keyspace::empty().await);
    let run = || Program::pipeline_a(&shop.url, &keyspace.url);

    let reading = stopped_at(&shop, "transactions", "WRITE", run()).await;
    assert_eq!(reading.code, 0, "{reading:#?}");
    assert_eq!((shop.offset('A').await, keyspace.has_table().await), (None, false));

    // All profiles stand by then; the commit waits for this table.
    let committing = stopped_at(&shop, "profile_offsets", "READ", run()).await;
    assert_eq!(committing.code, 0, "{committing:#?}");
    assert_eq!(shop.offset('A').await, None);
    assert!(keyspace.has_table().await);

    // The lease was given back, or expires: a run ended by a signal never blocks the next one for long.
    let next = run().report().await;
    assert_eq!(next["status"], "ok", "{next}");
    assert_same(&keyspace.profiles().await, &expected::profiles(&shop).await);
    assert_eq!(shop.offset('A').await, Some(600));
}

#[tokio::test]
async fn pipeline_b_stopped_before_its_commit_leaves_files_that_the_next_run_replaces() {
    let (shop, lake) = (Shop::seeded(&Sizes::SMALL).await, Lake::empty().await);
    let run = || Program::pipeline_b(&shop.url, &lake.url);
    let committing = stopped_at(&shop, "txn_summary_offsets", "READ", run()).await;
    assert_eq!(committing.code, 0, "{committing:#?}");
    assert_eq!(shop.offset('B').await, None);

    shop.run("INSERT INTO transactions VALUES (601, 1, 1, 1, 10.00, '2024-03-01 12:00:00')").await;
    assert_eq!(run().report().await["status"], "ok");
    let found = Summaries::read(lake.download().await.path()).await;
    assert_same(&found.rows, &expected::summaries(&shop, Amounts::Warned).await);
}

#[tokio::test]
async fn every_second_runs_again_reports_each_run_and_stops_on_a_signal() {
    let (shop, lake) = (Shop::seeded(&Sizes::SMALL).await, Lake::empty().await);
    let mut running = Program::pipeline_b(&shop.url, &lake.url).args(["--every", "1s"]).start();
    let mut reports = vec![running.next_report().await];
    assert_eq!(reports[0]["status"], "ok");
    shop.run("INSERT INTO transactions VALUES (601, 1, 1, 1, 10.00, '2024-03-01 12:00:00')").await;
    // A run may have begun before the row was there.
    while reports.last().unwrap()["to_txn_id"] != 601 {
        reports.push(running.next_report().await);
    }
    assert_eq!(reports.last().unwrap()["dates"], serde_json::json!(["2024-03-01"]));

    let finished = running.terminate().await;
    assert_eq!(finished.code, 0, "{finished:#?}");
    reports.extend(finished.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    for report in &reports {
        for field in
            ["pipeline", "run_id", "started_at", "duration_ms", "status", "read", "written", "quarantined"]
        {
            assert!(!report[field].is_null(), "{field} is missing: {report}");
        }
        for field in ["warnings", "from_txn_id", "to_txn_id", "open_gaps", "dates"] {
            assert!(report.get(field).is_some(), "{field} is missing: {report}");
        }
        let at = report["started_at"].as_str().unwrap();
        assert!(at.ends_with('Z') && at.contains('T'), "{at} is not RFC 3339 in UTC");
    }
    assert_same(&history(&shop).await, &by_run(reports));
}

type Reports = std::collections::BTreeMap<String, Value>;

/// The kept reports, without the wall time: the printed one includes the end of the run.
async fn history(shop: &Shop) -> Reports {
    let rows =
        sqlx::query("SELECT report FROM etl_run_history WHERE pipeline = 'B'").fetch_all(&shop.db).await;
    by_run(rows.unwrap().iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect())
}

fn by_run(reports: Vec<Value>) -> Reports {
    let keyed = reports.into_iter().map(|mut report| {
        report.as_object_mut().unwrap().remove("duration_ms");
        (report["run_id"].as_str().unwrap().to_owned(), report)
    });
    keyed.collect()
}
