//! `etl_quarantine`: one row for each key that is in quarantine now.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use sqlx::{QueryBuilder, Row};

use super::bookkeeping::{ROWS_PER_INSERT, for_people};
use super::decode::SourceRow;
use super::tables::{KEYS_PER_QUERY, list};
use super::{Job, Lease, Source, SourceError, despite_deadlocks, on_pool, under_lease};
use crate::quality::{Entity, QuarantineEntry, Quarantined, Reason};

/// A key that was in quarantine after the last run.
pub type QuarantinedKey = (Entity, Option<i64>);

impl Source {
    /// The keys in quarantine, and what it says of them.
    pub async fn quarantined(&self, job: Job) -> Result<HashMap<QuarantinedKey, Quarantined>, SourceError> {
        let found = on_pool!(self, |pool, dialect| {
            sqlx::query(
                "SELECT entity, entity_id, CAST(reasons AS CHAR), detail FROM etl_quarantine WHERE pipeline = ?",
            )
            .bind(job.letter())
            .fetch(pool)
            .try_filter_map(|row| async move { Ok(key(&row)) })
            .try_collect()
            .await
        });
        found.map_err(|error| self.fault("read the quarantine", error))
    }

    /// Puts `entries` in, all or nothing, if `lease` still holds. Repeating it changes nothing but `last_seen`;
    /// `first_seen` stays.
    ///
    /// Keys leave with [`Source::commit`], when the results that hold them are written: one that left earlier
    /// would be forgotten by a crash in between.
    pub async fn put_in_quarantine(
        &self,
        job: Job,
        lease: &Lease,
        entries: &[&QuarantineEntry],
        now: DateTime<Utc>,
    ) -> Result<(), SourceError> {
        if entries.is_empty() {
            return Ok(());
        }
        despite_deadlocks(async || self.try_put_in_quarantine(job, lease, entries, now).await).await
    }

    async fn try_put_in_quarantine(
        &self,
        job: Job,
        lease: &Lease,
        entries: &[&QuarantineEntry],
        now: DateTime<Utc>,
    ) -> Result<(), SourceError> {
        let now = for_people(now);
        let (keyless, keyed): (Vec<&QuarantineEntry>, Vec<&QuarantineEntry>) =
            entries.iter().partition(|entry| entry.id.is_none());
        under_lease!(self, lease, "quarantine rows", |transaction, dialect| {
            // A unique key does not tell nulls apart.
            for entry in &keyless {
                let update = sqlx::query(
                    "UPDATE etl_quarantine SET detail = ?, last_seen = ? WHERE pipeline = ? AND entity = ? \
                     AND entity_id IS NULL",
                );
                let update = update.bind(entry.detail()).bind(&now).bind(job.letter());
                let update = update.bind(entry.entity.name()).execute(&mut *transaction).await?;
                if update.rows_affected() == 0 {
                    let mut insert = QueryBuilder::new(INSERT);
                    insert.push_values([entry], |mut row, entry| values!(row, job, entry, now));
                    insert.build().execute(&mut *transaction).await?;
                }
            }
            for entries in keyed.chunks(ROWS_PER_INSERT) {
                let mut insert = QueryBuilder::new(INSERT);
                insert.push_values(entries, |mut row, entry| values!(row, job, entry, now));
                insert.push(dialect.quarantine_conflict);
                insert.build().persistent(false).execute(&mut *transaction).await?;
            }
        })
    }
}

const INSERT: &str =
    "INSERT INTO etl_quarantine (pipeline, entity, entity_id, reasons, detail, first_seen, last_seen) ";

/// Binds an entry's columns in the order of [`INSERT`].
macro_rules! values {
    ($row:ident, $job:ident, $entry:ident, $now:ident) => {{
        let reasons: Vec<_> = $entry.reasons.iter().collect();
        $row.push_bind($job.letter())
            .push_bind($entry.entity.name())
            .push_bind($entry.id)
            .push_bind(serde_json::to_string(&reasons).unwrap_or_default())
            .push_bind($entry.detail())
            .push_bind($now.clone())
            .push_bind($now.clone());
    }};
}
use values;

fn key<R: Row + SourceRow>(row: &R) -> Option<(QuarantinedKey, Quarantined)> {
    let entity = match row.text(0)?.as_str() {
        "customer" => Entity::Customer,
        "transaction" => Entity::Transaction,
        _ => return None,
    };
    let reasons: Vec<Reason> = serde_json::from_str(&row.text(2)?).unwrap_or_default();
    let quarantined = Quarantined::new(reasons.into_iter().collect(), &row.text(3).unwrap_or_default());
    Some(((entity, row.integer(1)), quarantined))
}

/// Conditions that together match exactly these keys.
pub(super) fn conditions(keys: &[QuarantinedKey]) -> Vec<String> {
    let mut conditions = Vec::new();
    for entity in [Entity::Customer, Entity::Transaction] {
        let ids: Vec<i64> = keys.iter().filter(|key| key.0 == entity).filter_map(|key| key.1).collect();
        let name = entity.name();
        conditions.extend(
            ids.chunks(KEYS_PER_QUERY)
                .map(|ids| format!("entity = '{name}' AND entity_id IN ({})", list(ids))),
        );
        if keys.contains(&(entity, None)) {
            conditions.push(format!("entity = '{name}' AND entity_id IS NULL"));
        }
    }
    conditions
}
