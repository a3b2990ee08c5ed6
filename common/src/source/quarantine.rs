//! `etl_quarantine`: one row for each key that is in quarantine now.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, QueryBuilder, Row};

use super::bookkeeping::{ROWS_PER_INSERT, for_people};
use super::decode::SourceRow;
use super::tables::{KEYS_PER_QUERY, list};
use super::{Job, Lease, Source, SourceError, despite_deadlocks, on_pool};
use crate::quality::{Entity, QuarantineEntry, Reason, Reasons};

/// A key that was in quarantine after the last run.
pub type QuarantinedKey = (Entity, Option<i64>);

/// What the quarantine says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Since when.
    pub first_seen: String,
    /// Why.
    pub reasons: Reasons,
    /// The row's values.
    pub detail: String,
}

impl Source {
    /// The keys in quarantine, and what it says of them.
    pub async fn quarantined(&self, job: Job) -> Result<HashMap<QuarantinedKey, Quarantined>, SourceError> {
        let found = on_pool!(self, |pool, dialect| {
            sqlx::query("SELECT entity, entity_id, first_seen, CAST(reasons AS CHAR), detail FROM etl_quarantine WHERE pipeline = ?")
                .bind(job.letter())
                .fetch_all(pool)
                .await
                .map(|rows| rows.iter().filter_map(key).collect())
        });
        found.map_err(|error| self.fault("read the quarantine", error))
    }

    /// Puts `entries` in, all or nothing, if `lease` still holds. Repeating it changes only `last_seen`.
    ///
    /// A key that is there already (`known`) keeps its `first_seen`. Keys leave with [`Source::commit`], when the
    /// results that hold them are written: one that left earlier would be forgotten by a crash in between.
    pub async fn put_in_quarantine(
        &self,
        job: Job,
        lease: &Lease,
        known: &HashMap<QuarantinedKey, Quarantined>,
        entries: &[QuarantineEntry],
        now: DateTime<Utc>,
    ) -> Result<(), SourceError> {
        if entries.is_empty() {
            return Ok(());
        }
        despite_deadlocks(async || self.try_put_in_quarantine(job, lease, known, entries, now).await).await?;
        for entry in entries.iter().filter(|entry| !known.contains_key(&(entry.entity, entry.id))) {
            for reason in entry.reasons.iter() {
                metrics::counter!("tributary_quarantined_total", "job" => job.name(), "reason" => reason.code())
                    .increment(1);
            }
        }
        Ok(())
    }

    async fn try_put_in_quarantine(
        &self,
        job: Job,
        lease: &Lease,
        known: &HashMap<QuarantinedKey, Quarantined>,
        entries: &[QuarantineEntry],
        now: DateTime<Utc>,
    ) -> Result<(), SourceError> {
        let now = for_people(now);
        // All of them, not only the known ones: one run may put a key in twice.
        let replaced: Vec<QuarantinedKey> = entries.iter().map(|entry| (entry.entity, entry.id)).collect();
        on_pool!(self, |pool, dialect| {
            let mut transaction =
                pool.begin_with(dialect.begin).await.map_err(|e| self.fault("quarantine rows", e))?;
            let held = sqlx::query(AssertSqlSafe(lease.renewal(dialect))).execute(&mut *transaction).await;
            if held.map_err(|e| self.fault("check the lease", e))?.rows_affected() != 1 {
                return Err(SourceError::LeaseLost);
            }
            let write = async {
                for condition in conditions(&replaced) {
                    sqlx::query(AssertSqlSafe(format!(
                        "DELETE FROM etl_quarantine WHERE pipeline = ? AND {condition}"
                    )))
                    .persistent(false)
                    .bind(job.letter())
                    .execute(&mut *transaction)
                    .await?;
                }
                for entries in entries.chunks(ROWS_PER_INSERT) {
                    let mut insert = QueryBuilder::new(
                        "INSERT INTO etl_quarantine (pipeline, entity, entity_id, reasons, detail, first_seen, last_seen) ",
                    );
                    insert.push_values(entries, |mut row, entry| {
                        let reasons: Vec<_> = entry.reasons.iter().collect();
                        let standing = known.get(&(entry.entity, entry.id));
                        let first_seen = standing.map_or(&now, |standing| &standing.first_seen);
                        row.push_bind(job.letter())
                            .push_bind(entry.entity.name())
                            .push_bind(entry.id)
                            .push_bind(serde_json::to_string(&reasons).unwrap_or_default())
                            .push_bind(entry.detail.clone())
                            .push_bind(first_seen.clone())
                            .push_bind(now.clone());
                    });
                    insert.build().persistent(false).execute(&mut *transaction).await?;
                }
                transaction.commit().await
            };
            write.await.map_err(|error| self.fault("quarantine rows", error))
        })
    }
}

fn key<R: Row + SourceRow>(row: &R) -> Option<(QuarantinedKey, Quarantined)> {
    let entity = match row.text(0)?.as_str() {
        "customer" => Entity::Customer,
        "transaction" => Entity::Transaction,
        _ => return None,
    };
    let reasons: Vec<Reason> = serde_json::from_str(&row.text(3)?).unwrap_or_default();
    let (first_seen, detail) = (row.text(2)?, row.text(4).unwrap_or_default());
    Some((
        (entity, row.integer(1)),
        Quarantined { first_seen, reasons: reasons.into_iter().collect(), detail },
    ))
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
