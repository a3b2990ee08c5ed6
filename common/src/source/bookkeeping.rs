//! Offsets, gaps and run history: what a job remembers between runs.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::{AssertSqlSafe, QueryBuilder, Row};

use super::decode::SourceRow;
use super::quarantine::{QuarantinedKey, conditions};
use super::{Lease, Source, SourceError, despite_deadlocks, on_pool, under_lease};
use crate::offsets::Gap;
use crate::run::{HISTORY_KEPT, RunReport};
use crate::schema::TxnId;

/// Rows of one multi-row insert.
pub(super) const ROWS_PER_INSERT: usize = 500;

/// `source` in the offset tables.
const SOURCE: &str = "transactions";

/// A job that keeps its books in the source database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Pipeline A.
    Profiles,
    /// Pipeline B.
    Summaries,
}

impl Job {
    /// The program's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Profiles => "pipeline-a",
            Self::Summaries => "pipeline-b",
        }
    }

    /// `pipeline` in the `etl_` tables.
    pub(super) fn letter(self) -> &'static str {
        match self {
            Self::Profiles => "A",
            Self::Summaries => "B",
        }
    }

    fn offsets_table(self) -> (&'static str, &'static str) {
        match self {
            Self::Profiles => ("profile_offsets", "last_txn_id"),
            Self::Summaries => ("txn_summary_offsets", "last_txnid"),
        }
    }
}

/// What a run commits last, in one transaction.
#[derive(Debug)]
pub struct Commit<'a> {
    /// Ids up to here are accounted for, but for the gaps.
    pub watermark: TxnId,
    /// Every gap that is open now.
    pub gaps: &'a [Gap],
    /// Keys that leave quarantine, now that the results hold them.
    pub corrected: &'a HashSet<QuarantinedKey>,
    /// The run's report, for the history.
    pub report: &'a RunReport,
}

impl Source {
    /// Makes the pipelines' own tables where they are missing.
    pub async fn create_own_tables(&self) -> Result<(), SourceError> {
        // Asked first: CREATE needs a right that a running job need not have.
        if self.has_own_tables().await? {
            return Ok(());
        }
        if !self.has("etl_gaps, etl_quarantine").await? {
            self.forget_offsets().await?;
        }
        on_pool!(self, |pool, dialect| {
            for create in dialect.own_tables {
                sqlx::query(*create)
                    .execute(pool)
                    .await
                    .map_err(|error| self.fault("make the etl_ tables", error))?;
            }
            Ok(())
        })
    }

    /// What lies below an offset is accounted for only together with the gaps and the quarantine.
    async fn forget_offsets(&self) -> Result<(), SourceError> {
        for (table, _) in [Job::Profiles, Job::Summaries].map(Job::offsets_table) {
            if self.has(table).await? {
                let forget = format!("DELETE FROM {table} WHERE source = '{SOURCE}'");
                on_pool!(self, |pool, dialect| sqlx::query(AssertSqlSafe(forget))
                    .execute(pool)
                    .await
                    .map(drop))
                .map_err(|error| self.fault("remove an offset without its gaps", error))?;
            }
        }
        Ok(())
    }

    /// Whether the pipelines' own tables are all there.
    pub async fn has_own_tables(&self) -> Result<bool, SourceError> {
        self.has("profile_offsets, txn_summary_offsets, etl_lease, etl_gaps, etl_quarantine, etl_run_history")
            .await
    }

    async fn has(&self, tables: &str) -> Result<bool, SourceError> {
        let all = format!("SELECT 1 FROM {tables} LIMIT 0");
        let asked = on_pool!(self, |pool, dialect| sqlx::query(AssertSqlSafe(all))
            .fetch_optional(pool)
            .await
            .map(drop));
        match asked.map_err(|error| self.fault("look for the etl_ tables", error)) {
            Err(error) if error.is_missing_table() => Ok(false),
            asked => asked.map(|()| true),
        }
    }

    /// The highest id below which everything is accounted for; 0 before the first run.
    pub async fn watermark(&self, job: Job) -> Result<TxnId, SourceError> {
        let (table, column) = job.offsets_table();
        let sql = format!("SELECT {column} FROM {table} WHERE source = ?");
        let found = on_pool!(self, |pool, dialect| {
            let row = sqlx::query(AssertSqlSafe(sql)).bind(SOURCE).fetch_optional(pool).await;
            row.map(|row| row.and_then(|row| row.integer(0)))
        });
        let id = found.map_err(|error| self.fault("read the offset", error))?;
        Ok(TxnId(id.unwrap_or_default().cast_unsigned()))
    }

    /// The gaps that were open after the last run, ascending.
    pub async fn gaps(&self, job: Job) -> Result<Vec<Gap>, SourceError> {
        let found = on_pool!(self, |pool, dialect| {
            sqlx::query("SELECT first_id, last_id, first_seen FROM etl_gaps WHERE pipeline = ?")
                .bind(job.letter())
                .fetch_all(pool)
                .await
                .map(|rows| rows.iter().filter_map(gap).collect())
        });
        let mut gaps: Vec<Gap> = found.map_err(|error| self.fault("read the gaps", error))?;
        // The table's numbers are signed, ids need not be.
        gaps.sort_unstable_by_key(|gap| gap.first);
        Ok(gaps)
    }

    /// Moves the offset, replaces the gaps, ends quarantines and adds to the history, all or nothing, if `lease` still holds.
    pub async fn commit(&self, job: Job, lease: &Lease, commit: &Commit<'_>) -> Result<(), SourceError> {
        despite_deadlocks(async || self.try_commit(job, lease, commit).await).await
    }

    async fn try_commit(&self, job: Job, lease: &Lease, commit: &Commit<'_>) -> Result<(), SourceError> {
        let (table, column) = job.offsets_table();
        let corrected: Vec<QuarantinedKey> = commit.corrected.iter().copied().collect();
        let ended = commit.report.started_at + Duration::from_millis(commit.report.duration_ms);
        under_lease!(
            self,
            lease,
            "commit the offset, gaps, quarantine and history",
            |transaction, dialect| {
                sqlx::query(AssertSqlSafe(format!("DELETE FROM {table} WHERE source = ?")))
                    .bind(SOURCE)
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query(AssertSqlSafe(format!("INSERT INTO {table} (source, {column}) VALUES (?, ?)")))
                    .bind(SOURCE)
                    .bind(commit.watermark.0.cast_signed())
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query("DELETE FROM etl_gaps WHERE pipeline = ?")
                    .bind(job.letter())
                    .execute(&mut *transaction)
                    .await?;
                for gaps in commit.gaps.chunks(ROWS_PER_INSERT) {
                    let mut insert =
                        QueryBuilder::new("INSERT INTO etl_gaps (pipeline, first_id, last_id, first_seen) ");
                    insert.push_values(gaps, |mut row, gap| {
                        row.push_bind(job.letter())
                            .push_bind(gap.first.cast_signed())
                            .push_bind(gap.last.cast_signed())
                            .push_bind(for_people(gap.first_seen));
                    });
                    insert.build().persistent(false).execute(&mut *transaction).await?;
                }
                for condition in conditions(&corrected) {
                    let delete = format!("DELETE FROM etl_quarantine WHERE pipeline = ? AND {condition}");
                    sqlx::query(AssertSqlSafe(delete))
                        .persistent(false)
                        .bind(job.letter())
                        .execute(&mut *transaction)
                        .await?;
                }
                // Each run looks at all of them again.
                sqlx::query("UPDATE etl_quarantine SET last_seen = ? WHERE pipeline = ?")
                    .bind(for_people(ended))
                    .bind(job.letter())
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query(
                    "INSERT INTO etl_run_history (run_id, pipeline, started_at, report) VALUES (?, ?, ?, ?)",
                )
                .bind(&commit.report.run_id)
                .bind(job.letter())
                .bind(for_people(commit.report.started_at))
                .bind(serde_json::to_string(commit.report).unwrap_or_default())
                .execute(&mut *transaction)
                .await?;
            }
        )
    }

    /// Adds a run that committed nothing to the history.
    pub async fn record_run(&self, job: Job, report: &RunReport) -> Result<(), SourceError> {
        let write = on_pool!(self, |pool, dialect| {
            async {
                let kept =
                    sqlx::query("SELECT run_id FROM etl_run_history WHERE run_id = ?").bind(&report.run_id);
                if kept.fetch_optional(pool).await?.is_some() {
                    // A signal came when the commit was on its way, and it has happened.
                    return Ok(());
                }
                sqlx::query(
                    "INSERT INTO etl_run_history (run_id, pipeline, started_at, report) VALUES (?, ?, ?, ?)",
                )
                .bind(&report.run_id)
                .bind(job.letter())
                .bind(for_people(report.started_at))
                .bind(serde_json::to_string(report).unwrap_or_default())
                .execute(pool)
                .await?;
                Ok(())
            }
            .await
        });
        write.map_err(|error| self.fault("write the run history", error))
    }

    /// Drops the oldest reports beyond those that are kept.
    pub async fn prune_history(&self, job: Job) -> Result<(), SourceError> {
        let prune = on_pool!(self, |pool, dialect| {
            async {
                // The inner SELECT is wrapped: MySQL does not delete from a table that a subquery reads.
                let prune = format!(
                    "DELETE FROM etl_run_history WHERE pipeline = ? AND run_id < (SELECT run_id FROM (SELECT run_id \
                     FROM etl_run_history WHERE pipeline = ? ORDER BY run_id DESC LIMIT 1 OFFSET {}) AS oldest_kept)",
                    HISTORY_KEPT - 1
                );
                sqlx::query(AssertSqlSafe(prune)).bind(job.letter()).bind(job.letter()).execute(pool).await?;
                Ok(())
            }
            .await
        });
        prune.map_err(|error| self.fault("prune the run history", error))
    }

    /// The newest `limit` reports, newest first.
    pub async fn history(&self, job: Job, limit: u32) -> Result<Vec<RunReport>, SourceError> {
        let found: Vec<String> = on_pool!(self, |pool, dialect| {
            sqlx::query("SELECT report FROM etl_run_history WHERE pipeline = ? ORDER BY run_id DESC LIMIT ?")
                .bind(job.letter())
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await
                .map(|rows| rows.iter().filter_map(|row| row.text(0)).collect())
        })
        .map_err(|error| self.fault("read the run history", error))?;
        Ok(found.iter().filter_map(|report| serde_json::from_str(report).ok()).collect())
    }
}

fn gap<R: Row + SourceRow>(row: &R) -> Option<Gap> {
    Some(Gap {
        first: row.integer(0)?.cast_unsigned(),
        last: row.integer(1)?.cast_unsigned(),
        first_seen: row.text(2)?.parse().ok()?,
    })
}

/// RFC 3339 in UTC: the same in both databases, readable, sorts by time.
pub(super) fn for_people(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
