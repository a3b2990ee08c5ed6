//! `verify`: silent where the targets are right, and it finds each thing that is not.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::duckdb;
use tests::long;
use tests::program::Program;
use tests::shop::Sizes;
use tests::sqlite::Files;
use tests::world::World;

const BOTH: [char; 2] = ['A', 'B'];

async fn assert_clean(world: &World) {
    for letter in BOTH {
        let found = world.verify(letter).await;
        assert_eq!((&found["differing"], &found["differences"]), (&json!(0), &json!([])), "{found}");
        assert!(found["checked"].as_u64().unwrap() > 0, "{found}");
    }
}

/// `difference` and what it is about, of all differences.
fn kinds(found: &Value) -> Vec<(String, String)> {
    let differences = found["differences"].as_array().unwrap().iter();
    let subject = |difference: &Value| {
        ["path", "date", "customer_id", "id"].iter().find_map(|field| {
            let value = difference.get(field)?;
            Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
    };
    let kind = |difference: &Value| {
        (difference["difference"].as_str().unwrap().to_owned(), subject(difference).unwrap())
    };
    let mut kinds: Vec<_> = differences.map(kind).collect();
    kinds.sort();
    kinds
}

fn kind(difference: &str, subject: impl std::fmt::Display + Copy) -> (String, String) {
    (difference.to_owned(), subject.to_string())
}

#[tokio::test]
async fn before_the_first_run_there_is_nothing_to_verify() {
    let world = World::seeded().await;
    for letter in BOTH {
        let finished = world.command(letter, &["verify"]).env("RUN_OUTPUT", "text").run().await;
        assert_eq!(finished.code, 0, "{finished:#?}");
        assert!(finished.stdout.contains("nothing to verify yet"), "{finished:#?}");
    }
    world.pipeline_b().report().await;
    assert_eq!(world.verify('A').await["checked"], 0, "the tables are there, but A has not run");
    assert_eq!(world.verify('B').await["differing"], 0);
}

#[tokio::test]
async fn what_a_run_has_written_verifies_however_messy_the_source_and_corrections_wait_for_the_next_run() {
    let world = World::messy().await;
    world.run().await;
    assert_clean(&world).await;

    world.shop.run(include_str!("../src/corrected.sql")).await;
    for letter in BOTH {
        let found = world.verify(letter).await;
        let corrected = kinds(&found);
        assert!(corrected.contains(&kind("needlessly_in_quarantine", 16)), "{found}");
        assert!(corrected.contains(&kind("other_reasons", 24)), "{found}");
        let text = world.command(letter, &["verify"]).env("RUN_OUTPUT", "text").run().await;
        assert!(text.stdout.contains("leave it with the next pipeline-"), "{text:#?}");
    }
    world.run().await;
    assert_clean(&world).await;
}

#[tokio::test]
async fn a_wrong_a_missing_and_a_needless_profile_are_listed_and_names_and_addresses_are_not_shown() {
    let world = World::seeded().await;
    world.pipeline_a().report().await;
    let profile = world.keyspace.profiles().await.remove(&3).unwrap();
    for damage in [
        "UPDATE customer_profile SET name = 'S3cret', email = 's3cret@example.com' WHERE customer_id = 1",
        "UPDATE customer_profile SET total_spend = 1.5, total_transactions = 0, last_purchase = 0 WHERE customer_id = 3",
        "DELETE FROM customer_profile WHERE customer_id = 4",
        "INSERT INTO customer_profile (customer_id, name) VALUES (1000, 'x')",
    ] {
        world.keyspace.run(damage).await;
    }
    let found = world.verify('A').await;
    let expected =
        [kind("profile", 1), kind("profile", 3), kind("profile_extra", 1000), kind("profile_missing", 4)];
    assert_eq!(kinds(&found), expected, "{found}");
    assert!(!found.to_string().to_lowercase().contains("s3cret"), "{found}");
    let columns = |id: i32| {
        let of = found["differences"].as_array().unwrap().iter().find(|d| d["customer_id"] == id);
        of.unwrap()["columns"].clone()
    };
    assert_eq!(columns(1), json!([{"column": "name"}, {"column": "email"}]));
    let spend = json!({"column": "total_spend", "found": "1.5", "expected": profile.total_spend});
    assert_eq!((&columns(3)[0], columns(3).as_array().unwrap().len()), (&spend, 3), "{found}");

    let text = world.command('A', &["verify"]).env("RUN_OUTPUT", "text").run().await;
    assert!(text.stdout.contains("customer 4 has no profile, but should\n"), "{text:#?}");
    assert!(text.stdout.contains("customer 1: name differs; email differs\n"), "{text:#?}");
    assert!(text.stdout.contains("pipeline-a --full"), "{text:#?}");

    // Whatever is chosen of forty customers and the profile of nobody, the four are among them.
    let all = world.command('A', &["verify", "--sample", "41"]).run().await;
    assert_eq!((all.code, kinds(&all.report()).len()), (3, 4), "{all:#?}");
    let none = world.command('A', &["verify", "--sample", "0"]).run().await;
    assert_eq!(none.code, 2, "{none:#?}");
    world.pipeline_a().args(["--full"]).report().await;
    assert_eq!(world.verify('A').await["differing"], 0);
}

#[tokio::test]
async fn a_file_that_is_damaged_in_any_way_missing_or_too_many_is_listed() {
    let world = World::seeded().await;
    world.pipeline_b().report().await;
    let folder = world.lake.download().await;
    let said = duckdb::found_by(include_str!("../src/damaged.py"), folder.path()).await;
    let said: BTreeMap<String, String> = serde_json::from_value(said).unwrap();
    for path in said.keys() {
        world.lake.put(path, std::fs::read(folder.path().join(path)).unwrap()).await;
    }
    let stale = "txn_summary/date=1999-12-31/part-00000.parquet";
    let second = "txn_summary/date=2024-03-01/part-00001.parquet";
    let intact: Vec<String> =
        world.lake.versions().await.into_keys().filter(|path| !said.contains_key(path)).collect();
    let content = std::fs::read(folder.path().join(&intact[0])).unwrap();
    for path in [stale, second, "txn_summary/_SUCCESS"] {
        world.lake.put(path, content.clone()).await;
    }
    world.lake.remove(&intact[1]).await;

    let found = world.verify('B').await;
    let kinds = kinds(&found);
    for (path, damage) in &said {
        let (what, column) = damage.split_once(' ').unwrap_or((damage, ""));
        let date = &path["txn_summary/date=".len()..][..10];
        let subject = if what.starts_with("row") { date } else { path };
        assert!(kinds.contains(&kind(what, subject)), "{damage} of {path}: {found}");
        if what == "row" {
            assert!(found.to_string().contains(&format!("\"column\":\"{column}\"")), "{found}");
        }
    }
    for expected in [kind("file_extra", stale), kind("file_extra", second), kind("file_missing", &intact[1])]
    {
        assert!(kinds.contains(&expected), "{expected:?}: {found}");
    }
    let subjects: std::collections::BTreeSet<&String> = kinds.iter().map(|(_, subject)| subject).collect();
    assert_eq!(subjects.len(), said.len() + 3, "nothing else: {found}");

    let date = &intact.last().unwrap()["txn_summary/date=".len()..][..10];
    let part = world.command('B', &["verify", "--from", date, "--to", date]).run().await;
    assert_eq!((part.code, &part.report()["checked"]), (0, &json!(1)), "{part:#?}");
    let sample = world.command('B', &["verify", "--sample", "5"]).run().await;
    assert_eq!(sample.report()["checked"], 5, "{sample:#?}");
    world.pipeline_b().args(["--full"]).report().await;
    world.lake.remove(second).await;
    assert_eq!(world.verify('B').await["differing"], 0);
}

#[tokio::test]
async fn a_rejected_row_that_is_not_in_quarantine_and_one_that_need_not_be_are_listed() {
    let world = World::messy().await;
    world.run().await;
    world
        .shop
        .run(
            "DELETE FROM etl_quarantine WHERE entity_id IN (16, 5) OR (entity = 'transaction' AND entity_id IS NULL);
             UPDATE etl_quarantine SET reasons = '[\"non_positive_qty\"]' WHERE entity = 'transaction' AND entity_id = 14;
             INSERT INTO etl_quarantine SELECT pipeline, entity, 1003, reasons, detail, first_seen, last_seen
               FROM etl_quarantine WHERE entity_id = 14;
             INSERT INTO etl_quarantine SELECT pipeline, 'customer', 1, reasons, detail, first_seen, last_seen
               FROM etl_quarantine WHERE entity_id = 14 AND pipeline = 'A'",
        )
        .await;
    for letter in BOTH {
        let found = world.verify(letter).await;
        let mut expected = vec![
            kind("needlessly_in_quarantine", 1003),
            kind("not_in_quarantine", 16),
            kind("not_in_quarantine", "null"),
            kind("other_reasons", 14),
        ];
        if letter == 'A' {
            expected.extend([kind("needlessly_in_quarantine", 1), kind("not_in_quarantine", 5)]);
            expected.sort();
        }
        assert_eq!(kinds(&found), expected, "{found}");
    }
}

#[tokio::test]
async fn rows_behind_the_offset_or_in_an_open_gap_are_the_next_runs_and_no_difference() {
    let world = World::seeded().await;
    // 601 is missing: the gap stays open for as long as this transaction runs.
    let mut late = world.shop.db.begin().await.unwrap();
    let insert = "INSERT INTO transactions VALUES (601, 1, 1, 1, 10.00, '2024-03-01 12:00:00')";
    sqlx::query(insert).execute(&mut *late).await.unwrap();
    world.shop.run("INSERT INTO transactions VALUES (602, 2, 1, 1, 10.00, '2024-03-01 12:00:00')").await;
    for report in world.run().await {
        assert_eq!(report["open_gaps"], 1, "{report}");
    }
    late.commit().await.unwrap();
    world
        .shop
        .run(
            "INSERT INTO transactions VALUES (603, 3, 1, 1, 10.00, '2024-03-02 12:00:00'),
             (604, 3, 1, 0, 10.00, '2025-01-01 12:00:00')",
        )
        .await;
    for letter in BOTH {
        let found = world.verify(letter).await;
        assert_eq!(found["differing"], 0, "{found}");
        assert_eq!(found["to_txn_id"], 602, "{found}");
    }

    // Killed before the commit: the targets are ahead of the offset, with what it has read.
    for letter in BOTH {
        let killed = world.pipeline(letter).env("FAILPOINT", "before_commit=KILL").run().await;
        assert_eq!(killed.code, -1, "{killed:#?}");
        let found = world.verify(letter).await;
        assert_eq!((&found["differing"], &found["to_txn_id"]), (&json!(0), &json!(602)), "{found}");
        assert!(found["waiting"].as_u64().unwrap() > 0, "{found}");
    }
    world.run().await;
    assert_clean(&world).await;
}

#[tokio::test]
async fn a_sample_of_dates_is_taken_at_once_though_an_index_finds_a_zero_date_before_all_others() {
    let world = World::seeded().await;
    let zero = "SET SESSION sql_mode = ''; INSERT INTO transactions VALUES (601, 1, 1, 1, 1.00, '0000-00-00 00:00:00')";
    world.shop.run(zero).await;
    world.run().await;
    for some in [["--sample", "5"], ["--to", "2024-03-10"]] {
        let verified = world.command('B', &["verify"]).args(some).report().await;
        assert!(verified["checked"].as_u64() > Some(0) && verified["differing"] == 0, "{verified}");
    }
}

#[tokio::test]
async fn a_run_in_progress_is_waited_for() {
    let world = World::seeded().await;
    world.run().await;
    for letter in BOTH {
        world.shop.run(&held(letter, 2)).await;
        assert_eq!(world.verify(letter).await["differing"], 0);
        world.shop.run(&held(letter, 3600)).await;
    }
    if !long() {
        return;
    }
    for letter in BOTH {
        let finished = world.command(letter, &["verify"]).run().await;
        let message = finished.failed_with(4);
        assert!(message.contains("holds its lease"), "{message}");
    }
}

/// Another run holds the lease of a pipeline until so many seconds from now.
fn held(letter: char, seconds: i32) -> String {
    format!(
        "UPDATE etl_lease SET owner = 'another', fence = fence + 1, expires_at = UNIX_TIMESTAMP(NOW(6)) * 1000000 \
         + {seconds} * 1000000 WHERE job = 'pipeline-{}'",
        letter.to_lowercase()
    )
}

#[tokio::test]
async fn a_signal_ends_it_without_saying_that_all_is_well_and_gives_the_lease_back() {
    let world = World::seeded().await;
    world.run().await;
    for letter in BOTH {
        let mut holder = world.shop.db.acquire().await.unwrap();
        sqlx::raw_sql("LOCK TABLES transactions WRITE").execute(&mut *holder).await.unwrap();
        let running = world.command(letter, &["verify"]).start();
        world.shop.until_blocked_on("transactions").await;
        let finished = running.terminate().await;
        sqlx::raw_sql("UNLOCK TABLES").execute(&mut *holder).await.unwrap();
        assert!(finished.failed_with(1).contains("stopped by a signal"), "{finished:#?}");
        assert_eq!(finished.stdout, "");
        let free =
            format!("SELECT expires_at = 0 FROM etl_lease WHERE job = 'pipeline-{}'", letter.to_lowercase());
        assert_eq!(world.shop.number(&free).await, 1);
    }
}

#[tokio::test]
async fn files_on_disk_verify_too() {
    let files = Files::seeded(&Sizes::SMALL).await;
    Program::pipeline_a(&files.source(), &files.profile_store()).report().await;
    Program::pipeline_b(&files.source(), &files.lake()).report().await;
    let verify = |name: &str, flag: &str, target: &str| {
        let program = Program::new(name).args(["verify", "--source", &files.source(), flag, target]);
        program.args(["--output", "json"]).run()
    };
    let verify_a = || verify("pipeline-a", "--profiles", &files.profile_store());
    let verify_b = || verify("pipeline-b", "--lake", &files.lake());
    for finished in [verify_a().await, verify_b().await] {
        assert_eq!((finished.code, &finished.report()["differing"]), (0, &json!(0)), "{finished:#?}");
    }
    files
        .run("profiles.db", "UPDATE customer_profile SET avg_order_value = '0.10' WHERE customer_id = 1")
        .await;
    std::fs::remove_dir_all(files.folder.path().join("lake/txn_summary/date=2024-03-01")).unwrap();
    files.run("shop.db", "UPDATE transactions SET qty = 0 WHERE txn_id = 1").await;
    let (a, b) = (verify_a().await, verify_b().await);
    assert_eq!((a.code, b.code), (3, 3), "{a:#?} {b:#?}");
    let kinds_a = kinds(&a.report());
    assert!(
        kinds_a.contains(&kind("profile", 1)) && kinds_a.contains(&kind("not_in_quarantine", 1)),
        "{a:#?}"
    );
    let missing = kind("file_missing", "txn_summary/date=2024-03-01/part-00000.parquet");
    assert!(kinds(&b.report()).contains(&missing), "{b:#?}");
}
