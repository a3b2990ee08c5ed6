//! `quarantine list`, `show` and `retry`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests::compare::assert_same;
use tests::expected::{self, Quarantine};
use tests::world::World;

const BOTH: [char; 2] = ['A', 'B'];

async fn ask(world: &World, letter: char, words: &[&str]) -> Value {
    world.command(letter, words).report().await
}

/// The listed keys with their reasons.
fn keys(listed: &Value) -> Quarantine {
    let listed = listed.as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let key = |key: &Value| {
        let reasons: BTreeSet<String> = key["reasons"].as_array().unwrap().iter().map(text).collect();
        ((text(&key["entity"]), key["id"].as_i64()), reasons)
    };
    listed.map(key).collect()
}

#[tokio::test]
async fn list_names_every_key_with_its_reasons_values_and_times_and_counts_each_reason() {
    let world = World::messy().await;
    for letter in BOTH {
        let before = ask(&world, letter, &["quarantine", "list"]).await;
        assert_eq!((&before["quarantined"], &before["keys"]), (&json!(0), &json!([])), "{before}");
    }
    world.run().await;
    for letter in BOTH {
        let standing = expected::quarantine(&world.shop, letter).await;
        let listed = ask(&world, letter, &["quarantine", "list"]).await;
        assert_same(&keys(&listed["keys"]), &standing);
        assert_eq!(listed["quarantined"], standing.len(), "{listed}");
        let mut by_reason: BTreeMap<&str, u64> = BTreeMap::new();
        standing.values().flatten().for_each(|reason| *by_reason.entry(reason).or_default() += 1);
        assert_eq!(listed["by_reason"], json!(by_reason));
        let transaction = |key: &&Value| key["entity"] == "transaction" && key["id"] == 17;
        let of_17 = listed["keys"].as_array().unwrap().iter().find(transaction).unwrap();
        assert_eq!(of_17["values"]["qty"], -3, "{listed}");
        for at in ["first_seen", "last_seen"] {
            assert!(of_17[at].as_str().unwrap().ends_with('Z'), "{listed}");
        }

        let some =
            ask(&world, letter, &["quarantine", "list", "--reason", "unknown_product", "--limit", "3"]).await;
        assert_eq!(some["keys"].as_array().unwrap().len(), 3, "{some}");
        assert!(keys(&some["keys"]).values().all(|reasons| reasons.contains("unknown_product")), "{some}");

        let text =
            world.command(letter, &["quarantine", "list", "--limit", "1000"]).env("RUN_OUTPUT", "text");
        let text = text.run().await.stdout;
        assert_eq!(text.lines().count(), standing.len() + 2, "{text}");
        assert!(
            text.lines().any(|line| line.contains("non_positive_qty") && line.ends_with("qty=-3")),
            "{text}"
        );
    }
    let wrong = world.command('A', &["quarantine", "list", "--reason", "x"]).run().await;
    assert!(wrong.failed_with(2).contains("unknown_product"), "{wrong:#?}");
}

#[tokio::test]
async fn show_tells_all_that_is_known_of_a_key() {
    let world = World::messy().await;
    world.run().await;
    let shown = ask(&world, 'A', &["quarantine", "show", "5", "--entity", "customer"]).await;
    assert_eq!(keys(&shown["keys"]).keys().collect::<Vec<_>>(), [&("customer".to_owned(), Some(5))]);
    assert_eq!(shown["keys"][0]["values"]["name"], "Null email", "{shown}");
    let nulls = ask(&world, 'A', &["quarantine", "show", "null"]).await;
    assert_eq!(keys(&nulls["keys"]).len(), 2, "{nulls}");
    let text = world.command('B', &["quarantine", "show", "17"]).env("RUN_OUTPUT", "text").run().await;
    assert!(text.stdout.starts_with("transaction 17\n  reasons      non_positive_qty\n"), "{text:#?}");

    let absent = world.command('B', &["quarantine", "show", "5"]).run().await;
    assert_eq!((absent.code, &absent.report()["keys"]), (1, &json!([])), "{absent:#?}");
}

#[tokio::test]
async fn retry_runs_the_job_and_tells_which_keys_left_and_which_stayed_and_why() {
    let world = World::messy().await;
    world.run().await;
    world.shop.run(include_str!("../src/corrected.sql")).await;
    for letter in BOTH {
        let before = expected::quarantine(&world.shop, letter).await;
        let retried = ask(&world, letter, &["quarantine", "retry"]).await;
        let after = expected::quarantine(&world.shop, letter).await;
        assert_eq!(retried["stayed"]["count"], after.len(), "{retried}");
        assert_same(&keys(&retried["stayed"]["keys"]), &after);
        let left = before.into_iter().filter(|(key, _)| !after.contains_key(key)).collect();
        assert_same(&keys(&retried["left"]["keys"]), &left);
        world.assert_as_expected(letter).await;

        let text = world.command(letter, &["quarantine", "retry"]).env("RUN_OUTPUT", "text").run().await;
        assert!(text.stdout.contains("transaction 24 stays in quarantine for"), "{text:#?}");
        assert!(text.stdout.ends_with(&format!(": 0 left quarantine, {} stay\n", after.len())), "{text:#?}");
    }
}
