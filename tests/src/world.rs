//! A shop with a keyspace and a lake: both pipelines on the real services.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::compare::assert_same;
use crate::duckdb::Summaries;
use crate::expected::{self, Amounts};
use crate::keyspace::Keyspace;
use crate::lake::Lake;
use crate::program::Program;
use crate::shop::{Shop, Sizes, until};

/// Short, so that a run which was killed does not hold up the next one for long.
const LEASE_TTL: &str = "300ms";

/// Everything that pipelines A and B work with.
#[derive(Debug)]
pub struct World {
    /// The source.
    pub shop: Shop,
    /// A's target.
    pub keyspace: Keyspace,
    /// B's target.
    pub lake: Lake,
}

impl World {
    /// A shop without faults; nothing has run yet.
    pub async fn seeded() -> Self {
        Self::of(Shop::seeded(&Sizes::SMALL).await).await
    }

    /// A shop that breaks every promise of the contract's schema; nothing has run yet.
    pub async fn messy() -> Self {
        Self::of(Shop::messy().await).await
    }

    /// `shop` with empty targets.
    pub async fn of(shop: Shop) -> Self {
        let (keyspace, lake) = tokio::join!(Box::pin(Keyspace::empty()), Box::pin(Lake::empty()));
        Self { shop, keyspace, lake }
    }

    /// Pipeline A, which takes every row that it is given.
    #[must_use]
    pub fn pipeline_a(&self) -> Program {
        // Few at a time, so that there is a middle.
        lenient(Program::pipeline_a(&self.shop.url, &self.keyspace.url)).args(["--write-parallelism", "8"])
    }

    /// Pipeline B, which takes every row that it is given.
    #[must_use]
    pub fn pipeline_b(&self) -> Program {
        lenient(Program::pipeline_b(&self.shop.url, &self.lake.url))
    }

    /// Pipeline `A` or `B`.
    #[must_use]
    pub fn pipeline(&self, letter: char) -> Program {
        if letter == 'A' { self.pipeline_a() } else { self.pipeline_b() }
    }

    /// A subcommand of a pipeline, which answers as JSON; all settings are in the environment.
    #[must_use]
    pub fn command(&self, letter: char, words: &[&str]) -> Program {
        Program::new(if letter == 'A' { "pipeline-a" } else { "pipeline-b" })
            .args(words.iter().copied())
            .env("SOURCE_URL", &self.shop.url)
            .env("PROFILES_URL", &self.keyspace.url)
            .env("LAKE_URL", &self.lake.url)
            .env("MAX_QUARANTINE_RATIO", "1")
            .env("LEASE_TTL", LEASE_TTL)
            .env("RUN_OUTPUT", "json")
    }

    /// What `verify` finds; its exit code has to fit.
    pub async fn verify(&self, letter: char) -> Value {
        let finished = self.command(letter, &["verify"]).run().await;
        let found = finished.report();
        assert_eq!(finished.code, if found["differing"] == 0 { 0 } else { 3 }, "{finished:#?}");
        found
    }

    /// Runs both pipelines, which have to succeed, and returns their reports.
    pub async fn run(&self) -> [Value; 2] {
        let (a, b) = tokio::join!(self.pipeline_a().report(), self.pipeline_b().report());
        [a, b]
    }

    /// Runs a pipeline again until it has nothing to do, and compares its target and its quarantine with SQL.
    ///
    /// Missing ids may stay open for a while; the targets have to be right before that, and to stay as they are.
    pub async fn assert_settles(&self, letter: char) {
        self.assert_as_expected(letter).await;
        let before = self.written(letter).await;
        let idle = async || self.pipeline(letter).report().await["status"] == "idle";
        until(idle, "no run is idle").await;
        assert_same(&self.written(letter).await, &before);
        let verified = self.verify(letter).await;
        assert_eq!(verified["differing"], 0, "{verified}");
    }

    /// Waits until the lease of a pipeline whose run was killed or sleeps has expired.
    pub async fn until_lease_expired(&self, letter: char) {
        let held = format!(
            "SELECT COUNT(*) FROM etl_lease WHERE job = 'pipeline-{}' AND expires_at >= UNIX_TIMESTAMP(NOW(6)) * 1000000",
            letter.to_lowercase()
        );
        until(async || self.shop.number(&held).await == 0, "the lease does not expire").await;
    }

    /// Compares a pipeline's target and quarantine with SQL.
    pub async fn assert_as_expected(&self, letter: char) {
        let mut rejected = expected::rejected_transactions(&self.shop, Amounts::Warned).await;
        if letter == 'A' {
            assert_same(&self.keyspace.profiles().await, &expected::profiles(&self.shop).await);
            rejected.extend(expected::rejected_customers(&self.shop).await);
        } else {
            let found = Summaries::read(self.lake.download().await.path()).await;
            assert_same(&found.rows, &expected::summaries(&self.shop, Amounts::Warned).await);
        }
        assert_same(&expected::quarantine(&self.shop, letter).await, &rejected);
    }

    /// What changes when a pipeline writes: key → when, or which content.
    pub async fn written(&self, letter: char) -> BTreeMap<String, String> {
        if letter == 'A' {
            let rows = self.keyspace.written().await;
            rows.into_iter().map(|(id, (_, at))| (id.to_string(), at.to_string())).collect()
        } else {
            self.lake.versions().await
        }
    }
}

fn lenient(program: Program) -> Program {
    program.args(["--max-quarantine-ratio", "1"]).env("LEASE_TTL", LEASE_TTL)
}
