//! Whether the source's tables are what the pipelines read.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, Row};

use super::decode::SourceRow;
use super::{Pool, Source, SourceError, on_pool};

const INTEGERS: &[&str] = &["tinyint", "smallint", "mediumint", "int", "bigint"];
const TEXTS: &[&str] = &["char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum"];
const TIMES: &[&str] = &["timestamp", "datetime"];
const EXACT: &[&str] = &["decimal"];

/// Money has cents; more would not survive a profile's scale 2.
const MOST_DECIMALS: i64 = 2;

/// Table, column, the types that can hold it.
const WANTED: &[(&str, &str, &[&str])] = &[
    ("customers", "customer_id", INTEGERS),
    ("customers", "name", TEXTS),
    ("customers", "email", TEXTS),
    ("customers", "gender", TEXTS),
    ("customers", "signup_date", &["date"]),
    ("products", "product_id", INTEGERS),
    ("products", "category", TEXTS),
    ("products", "price", EXACT),
    ("transactions", "txn_id", INTEGERS),
    ("transactions", "customer_id", INTEGERS),
    ("transactions", "product_id", INTEGERS),
    ("transactions", "qty", INTEGERS),
    ("transactions", "amount", EXACT),
    ("transactions", "txn_timestamp", TIMES),
];

/// Which promises of its schema the source keeps by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceKeys {
    /// `transactions.txn_id` is unique and never null.
    pub txn_ids_are_keys: bool,
    /// `customers.customer_id` is unique and never null.
    pub customer_ids_are_keys: bool,
    /// `transactions.customer_id` has an index.
    pub buyers_are_indexed: bool,
}

impl Source {
    /// Checks tables, columns and types, and tells which keys the database keeps unique.
    ///
    /// [`SourceError::Schema`] names every table, column, what was found and what is wanted.
    pub async fn check_schema(&self) -> Result<SourceKeys, SourceError> {
        let found = match &self.pool {
            Pool::MySql(pool) => {
                sqlx::query(
                    "SELECT table_name, column_name, data_type, is_nullable = 'YES', numeric_scale, column_type \
                     FROM information_schema.columns \
                     WHERE table_schema = DATABASE() AND table_name IN ('customers', 'products', 'transactions')",
                )
                .fetch_all(pool)
                .await
                .map(|rows| rows.iter().map(column).collect::<Vec<_>>())
            }
            Pool::Sqlite(pool) => {
                sqlx::query(
                    "SELECT m.name, c.name, LOWER(c.type), c.\"notnull\" = 0 AND c.pk = 0, NULL, NULL \
                     FROM sqlite_master m JOIN pragma_table_info(m.name) c \
                     WHERE m.name IN ('customers', 'products', 'transactions')",
                )
                .fetch_all(pool)
                .await
                .map(|rows| rows.iter().map(column).collect::<Vec<_>>())
            }
        };
        let found = found.map_err(|error| self.fault("read the schema", error))?;
        let any_type = matches!(self.pool, Pool::Sqlite(_));
        let columns: HashMap<(&str, &str), &Column> =
            found.iter().map(|c| ((c.table.as_str(), c.name.as_str()), c)).collect();
        let problems: Vec<String> = WANTED
            .iter()
            .filter_map(|(table, name, types)| problem(&columns, table, name, types, any_type))
            .collect();
        if !problems.is_empty() {
            return Err(SourceError::Schema(problems.join("; ")));
        }
        self.check_ids(&columns).await?;
        let indexes = self.indexes().await?;
        let is_key = |table, name| {
            let unique = indexes.iter().any(|index| index.is_unique_by(table, name));
            unique && columns.get(&(table, name)).is_some_and(|column| !column.nullable)
        };
        let has_index =
            |column| any_type || indexes.iter().any(|index| index.finds_by("transactions", column));
        for column in ["customer_id", "txn_timestamp"].into_iter().filter(|column| !has_index(column)) {
            tracing::warn!(
                "transactions.{column} has no index: whatever is looked up by it costs a pass over the table"
            );
        }
        Ok(SourceKeys {
            txn_ids_are_keys: is_key("transactions", "txn_id"),
            customer_ids_are_keys: is_key("customers", "customer_id"),
            buyers_are_indexed: has_index("customer_id"),
        })
    }
}

/// Keys that go into 32 bits, whatever the source's type.
const KEYS: &[(&str, &str)] = &[("customers", "customer_id"), ("products", "product_id")];

impl Source {
    /// Looks whether keys of a wider type hold more than an `INT`: their rows would all be unknown.
    async fn check_ids(&self, columns: &HashMap<(&str, &str), &Column>) -> Result<(), SourceError> {
        for (table, name) in KEYS {
            let Some(column) = columns.get(&(table, name)).filter(|column| column.is_wide()) else {
                continue;
            };
            let sql = format!("SELECT MIN({name}), MAX({name}) FROM {table}");
            let found = on_pool!(self, |pool, dialect| {
                let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(pool).await;
                row.map(|row| [row.number(0), row.number(1)])
            });
            let ids = found.map_err(|error| self.fault("look for the largest ids", error))?;
            if let Some(id) = ids.into_iter().flatten().find(|id| i32::try_from(*id).is_err()) {
                return Err(SourceError::Schema(format!(
                    "column {table}.{name} is {} and holds {id}, wanted int with {} at most: profiles and summaries \
                     have 32 bits for it",
                    column.kind,
                    i32::MAX
                )));
            }
        }
        Ok(())
    }
}

struct Column {
    table: String,
    name: String,
    kind: String,
    nullable: bool,
    decimals: i64,
    unsigned: bool,
}

impl Column {
    fn is_wide(&self) -> bool {
        self.unsigned || self.kind == "bigint"
    }
}

fn column<R: Row + SourceRow>(row: &R) -> Column {
    let text = |index| row.text(index).unwrap_or_default();
    Column {
        table: text(0).to_lowercase(),
        name: text(1).to_lowercase(),
        kind: text(2).to_lowercase(),
        nullable: row.integer(3) != Some(0),
        decimals: row.integer(4).unwrap_or_default(),
        unsigned: text(5).to_lowercase().contains("unsigned"),
    }
}

fn problem(
    columns: &HashMap<(&str, &str), &Column>,
    table: &str,
    name: &str,
    types: &[&str],
    any_type: bool,
) -> Option<String> {
    match columns.get(&(table, name)) {
        None if !columns.keys().any(|(found, _)| *found == table) => {
            Some(format!("table {table} is missing"))
        }
        None => Some(format!("column {table}.{name} is missing, wanted {}", types.join(" or "))),
        Some(column) if types == EXACT && column.decimals > MOST_DECIMALS => Some(format!(
            "column {table}.{name} has {} decimals, wanted at most {MOST_DECIMALS}",
            column.decimals
        )),
        Some(column) if any_type || types.contains(&column.kind.as_str()) => None,
        Some(column) => {
            Some(format!("column {table}.{name} is {}, wanted {}", column.kind, types.join(" or ")))
        }
    }
}
