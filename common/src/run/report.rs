//! What a run did, for people, schedulers and the dashboard.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Exit, JobError};

/// How many reports of a job are kept.
pub const HISTORY_KEPT: u32 = 1_000;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Something was committed.
    Ok,
    /// There was nothing to do, or a signal came before the commit.
    Idle,
    /// A quality gate refused the batch.
    Refused,
    /// An error; safe to run again.
    Failed,
}

/// The report of one run; `--output json` prints it on one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// `pipeline-a`, `pipeline-b`, `pipeline-c`.
    pub pipeline: String,
    /// Unique, and later runs sort behind earlier ones.
    pub run_id: String,
    /// When the run started.
    pub started_at: DateTime<Utc>,
    /// Wall time in milliseconds.
    pub duration_ms: u64,
    /// How it ended.
    pub status: RunStatus,
    /// Source rows or records read.
    pub read: u64,
    /// Target rows written.
    pub written: u64,
    /// Keys in quarantine after this run (A, B), records written to `events_malformed` (C).
    pub quarantined: u64,
    /// Reason → how often.
    pub warnings: BTreeMap<String, u64>,
    /// Why the run failed, was refused or interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The job's own fields.
    #[serde(flatten)]
    pub job: Map<String, Value>,
}

/// A new run id: UUID version 7, so that ids sort by time.
#[must_use]
pub fn new_run_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

impl RunReport {
    /// The report of a run that has just started.
    #[must_use]
    pub fn started(pipeline: &str, run_id: &str, started_at: DateTime<Utc>) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            run_id: run_id.to_owned(),
            started_at,
            duration_ms: 0,
            status: RunStatus::Idle,
            read: 0,
            written: 0,
            quarantined: 0,
            warnings: BTreeMap::new(),
            error: None,
            job: Map::new(),
        }
    }

    /// Notes how an error ended the run.
    pub fn end_with(&mut self, error: &dyn JobError) {
        self.error = Some(error_chain(error));
        self.status = match error.exit() {
            _ if error.interrupted() => RunStatus::Idle,
            Exit::Refused => RunStatus::Refused,
            _ => RunStatus::Failed,
        };
    }

    /// Sets one of the job's own fields.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.job.insert(field.to_owned(), value.into());
        self
    }
}

/// The error and what caused it, in one line.
fn error_chain(error: &dyn JobError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            RunStatus::Ok => "ok",
            RunStatus::Idle => "idle",
            RunStatus::Refused => "refused",
            RunStatus::Failed => "failed",
        };
        write!(
            f,
            "{} {status} in {}.{:03} s: read {}, written {}, quarantined {}",
            self.pipeline,
            self.duration_ms / 1_000,
            self.duration_ms % 1_000,
            self.read,
            self.written,
            self.quarantined
        )?;
        for (field, value) in &self.job {
            match value {
                Value::Null => {}
                Value::Array(items) => write!(f, ", {field} {}", items.len())?,
                other => write!(f, ", {field} {other}")?,
            }
        }
        for (reason, count) in &self.warnings {
            write!(f, ", warning {reason} {count}")?;
        }
        self.error.as_ref().map_or(Ok(()), |error| write!(f, ": {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_line_with_the_contracts_fields_and_reads_back() {
        let mut report = RunReport::started("pipeline-a", "r1", DateTime::UNIX_EPOCH).with("customers", 2);
        report.warnings.insert("null_name".into(), 1);
        let line = serde_json::to_string(&report).unwrap();
        assert_eq!(
            line,
            r#"{"pipeline":"pipeline-a","run_id":"r1","started_at":"1970-01-01T00:00:00Z","duration_ms":0,"status":"idle","read":0,"written":0,"quarantined":0,"warnings":{"null_name":1},"customers":2}"#
        );
        assert_eq!(serde_json::from_str::<RunReport>(&line).unwrap(), report);
    }
}
