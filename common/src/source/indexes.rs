//! By what the source finds rows without a pass over the table, and what it keeps unique.

use sqlx::Row;

use super::decode::SourceRow;
use super::{Pool, Source, SourceError};

/// An index, as far as the pipelines care.
pub(super) struct Index {
    table: String,
    first: String,
    columns: i64,
    unique: bool,
}

impl Index {
    /// Rows can be looked up by this column: by the first of an index only.
    pub(super) fn finds_by(&self, table: &str, column: &str) -> bool {
        self.table == table && self.first == column
    }

    /// No two rows have the same in this column, unless it is null. Of several columns none is unique by itself.
    pub(super) fn is_unique_by(&self, table: &str, column: &str) -> bool {
        self.unique && self.columns == 1 && self.finds_by(table, column)
    }
}

impl Source {
    /// The indexes of the shop's tables; of `SQLite` only those that a table is kept by.
    pub(super) async fn indexes(&self) -> Result<Vec<Index>, SourceError> {
        let found = match &self.pool {
            Pool::MySql(pool) => {
                sqlx::query(
                    "SELECT table_name, MIN(CASE WHEN seq_in_index = 1 THEN column_name END), COUNT(*), \
                     CAST(MIN(non_unique = 0) AS SIGNED) FROM information_schema.statistics \
                     WHERE table_schema = DATABASE() AND table_name IN ('customers', 'products', 'transactions') \
                     GROUP BY table_name, index_name",
                )
                .fetch_all(pool)
                .await
                .map(|rows| rows.iter().map(index).collect())
            }
            Pool::Sqlite(pool) => {
                sqlx::query(
                    "SELECT m.name, c.name, 1, 1 FROM sqlite_master m JOIN pragma_table_info(m.name) c \
                     WHERE m.name IN ('customers', 'products', 'transactions') AND c.pk = 1 AND LOWER(c.type) = 'integer'",
                )
                .fetch_all(pool)
                .await
                .map(|rows| rows.iter().map(index).collect())
            }
        };
        found.map_err(|error| self.fault("read the indexes", error))
    }
}

fn index<R: Row + SourceRow>(row: &R) -> Index {
    let name = |column| row.text(column).unwrap_or_default().to_lowercase();
    Index {
        table: name(0),
        first: name(1),
        columns: row.integer(2).unwrap_or_default(),
        unique: row.integer(3) == Some(1),
    }
}
