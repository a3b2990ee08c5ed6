//! `etl_quarantine` for people: what is in it, why, since when.

use serde::Serialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};

use super::decode::SourceRow;
use super::{Job, Source, SourceError, on_pool};
use crate::quality::{Entity, Reason, Reasons};

const COLUMNS: &str = "entity, entity_id, CAST(reasons AS CHAR), detail, first_seen, last_seen";

/// A key in quarantine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedKey {
    /// `customer` or `transaction`.
    pub entity: String,
    /// The key, as in its table; `None` for the rows whose key is null.
    pub id: Option<i128>,
    /// The code of each reason.
    pub reasons: Vec<String>,
    /// RFC 3339, UTC.
    pub first_seen: String,
    /// RFC 3339, UTC.
    pub last_seen: String,
    /// The row's values by column.
    pub values: Value,
}

impl Source {
    /// The first `limit` keys in quarantine, by entity and id; with `reason` those that have it.
    pub async fn list_quarantine(
        &self,
        job: Job,
        reason: Option<Reason>,
        limit: u32,
    ) -> Result<Vec<ListedKey>, SourceError> {
        // Codes hold no wildcard but `_`, and none is another's pattern.
        let pattern = reason.map_or_else(|| "%".to_owned(), |reason| format!("%\"{}\"%", reason.code()));
        let sql = format!(
            "SELECT {COLUMNS} FROM etl_quarantine WHERE pipeline = ? AND CAST(reasons AS CHAR) LIKE ? \
             ORDER BY entity, entity_id LIMIT {limit}"
        );
        on_pool!(self, |pool, dialect| {
            let rows = sqlx::query(AssertSqlSafe(sql)).bind(job.letter()).bind(pattern).fetch_all(pool).await;
            rows.map(|rows| rows.iter().filter_map(listed).collect())
        })
        .map_err(|error| self.fault("list the quarantine", error))
    }

    /// What the quarantine says of `id`, of one entity or of both.
    pub async fn find_in_quarantine(
        &self,
        job: Job,
        entity: Option<Entity>,
        id: Option<i64>,
    ) -> Result<Vec<ListedKey>, SourceError> {
        let id = id.map_or_else(|| "IS NULL".to_owned(), |id| format!("= {id}"));
        let entity = entity.map(|entity| format!("AND entity = '{}'", entity.name())).unwrap_or_default();
        let sql = format!(
            "SELECT {COLUMNS} FROM etl_quarantine WHERE pipeline = ? AND entity_id {id} {entity} ORDER BY entity"
        );
        on_pool!(self, |pool, dialect| {
            let rows = sqlx::query(AssertSqlSafe(sql)).bind(job.letter()).fetch_all(pool).await;
            rows.map(|rows| rows.iter().filter_map(listed).collect())
        })
        .map_err(|error| self.fault("look into the quarantine", error))
    }

    /// How many keys have each combination of reasons.
    pub async fn count_quarantine(&self, job: Job) -> Result<Vec<(Reasons, u64)>, SourceError> {
        on_pool!(self, |pool, dialect| {
            let sql =
                "SELECT CAST(reasons AS CHAR), COUNT(*) FROM etl_quarantine WHERE pipeline = ? GROUP BY 1";
            let rows = sqlx::query(sql).bind(job.letter()).fetch_all(pool).await;
            rows.map(|rows| rows.iter().map(|row| (reasons(row.text(0)), count(row.integer(1)))).collect())
        })
        .map_err(|error| self.fault("count the quarantine", error))
    }
}

fn listed<R: Row + SourceRow>(row: &R) -> Option<ListedKey> {
    let entity = row.text(0)?;
    let shown = |id: i64| Entity::from_name(&entity).map_or(id.into(), |entity| entity.shown_id(id));
    let detail = row.text(3).unwrap_or_default();
    Some(ListedKey {
        id: row.integer(1).map(shown),
        entity,
        reasons: reasons(row.text(2)).iter().map(|reason| reason.code().to_owned()).collect(),
        first_seen: row.text(4).unwrap_or_default(),
        last_seen: row.text(5).unwrap_or_default(),
        // Somebody's own text is shown as it stands.
        values: serde_json::from_str(&detail).unwrap_or(Value::String(detail)),
    })
}

fn reasons(text: Option<String>) -> Reasons {
    let codes: Vec<Reason> = serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
    codes.into_iter().collect()
}

fn count(count: Option<i64>) -> u64 {
    count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default()
}
