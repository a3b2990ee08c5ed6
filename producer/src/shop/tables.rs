//! The source tables: their definition, and how they are made and dropped.

use super::database::{Connection, Database};
use crate::error::ProducerError;

/// In the order in which they can be dropped.
const TABLES: [&str; 5] = ["transactions", "customers", "products", "profile_offsets", "txn_summary_offsets"];

/// Tables of MySQL are filled under this prefix and renamed at the end, so that a seed that was killed leaves
/// nothing behind that looks whole. SQLite has a transaction for that.
const MYSQL_STAGING: &str = "seeding_";

/// Nullable where the contract does not say otherwise: an explicit NULL keeps old servers from giving the
/// timestamp an ON UPDATE of their own.
const MYSQL: &str = "
CREATE TABLE seeding_customers (customer_id INT PRIMARY KEY, name VARCHAR(100), email VARCHAR(150) UNIQUE,
  gender ENUM('M','F','O'), signup_date DATE) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE seeding_products (product_id INT PRIMARY KEY, name VARCHAR(150), category VARCHAR(50),
  price DECIMAL(10,2)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE seeding_transactions (txn_id BIGINT PRIMARY KEY AUTO_INCREMENT, customer_id INT, product_id INT, qty INT,
  amount DECIMAL(10,2), txn_timestamp TIMESTAMP NULL DEFAULT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE seeding_profile_offsets (source VARCHAR(128) PRIMARY KEY, last_txn_id BIGINT)
  ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE seeding_txn_summary_offsets (source VARCHAR(128) PRIMARY KEY, last_txnid BIGINT)
  ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
SET foreign_key_checks = 0, unique_checks = 0;";

/// Indexes built from all rows at once take a fraction of the time of indexes kept row by row. Adding the foreign
/// keys in place needs `foreign_key_checks = 0`, renaming what they refer to needs 1.
const MYSQL_FINISH: [&str; 3] = [
    "ALTER TABLE seeding_transactions ADD INDEX idx_transactions_customer_id (customer_id),
      ADD INDEX idx_transactions_product_id (product_id), ADD INDEX idx_transactions_txn_timestamp (txn_timestamp),
      ADD FOREIGN KEY (customer_id) REFERENCES seeding_customers (customer_id),
      ADD FOREIGN KEY (product_id) REFERENCES seeding_products (product_id)",
    "SET foreign_key_checks = 1, unique_checks = 1",
    "RENAME TABLE seeding_transactions TO transactions, seeding_customers TO customers, seeding_products TO products,
      seeding_profile_offsets TO profile_offsets, seeding_txn_summary_offsets TO txn_summary_offsets",
];

/// Money is TEXT: SQLite's NUMERIC would make it a binary fraction.
const SQLITE: &str = "
CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, name TEXT, email TEXT UNIQUE, gender TEXT, signup_date TEXT);
CREATE TABLE products (product_id INTEGER PRIMARY KEY, name TEXT, category TEXT, price TEXT);
CREATE TABLE transactions (txn_id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (customer_id),
  product_id INTEGER REFERENCES products (product_id), qty INTEGER, amount TEXT, txn_timestamp TEXT);
CREATE TABLE profile_offsets (source TEXT PRIMARY KEY, last_txn_id INTEGER);
CREATE TABLE txn_summary_offsets (source TEXT PRIMARY KEY, last_txnid INTEGER);";

const SQLITE_FINISH: [&str; 4] = [
    "CREATE INDEX idx_transactions_customer_id ON transactions (customer_id)",
    "CREATE INDEX idx_transactions_product_id ON transactions (product_id)",
    "CREATE INDEX idx_transactions_txn_timestamp ON transactions (txn_timestamp)",
    "COMMIT",
];

/// Keeps other seeds out and makes empty tables; rows that are there are dropped only with `replace`.
/// Returns the prefix under which the tables are filled.
pub(super) async fn make(db: &mut Database, replace: bool) -> Result<&'static str, ProducerError> {
    exclude_other_seeds(db).await?;
    let standing = db.tables().await?;
    for table in TABLES.into_iter().filter(|table| !replace && standing.iter().any(|name| name == table)) {
        let (held,): (i64,) = db
            .rows("looking for rows", format!("SELECT EXISTS (SELECT 1 FROM {table})"))
            .await?
            .pop()
            .unwrap_or_default();
        if held != 0 {
            return Err(ProducerError::HoldsRows { table, place: db.place().to_owned() });
        }
    }
    let pipelines = standing.iter().filter(|name| replace && name.starts_with("etl_"));
    let staging = TABLES.map(|table| format!("{MYSQL_STAGING}{table}"));
    let ours = staging
        .iter()
        .map(String::as_str)
        .chain(TABLES)
        .filter(|table| standing.iter().any(|name| name == table));
    for table in ours.chain(pipelines.map(String::as_str)) {
        db.execute("dropping the old tables", format!("DROP TABLE IF EXISTS `{}`", table.replace('`', "``")))
            .await?;
    }
    let (definition, prefix) = match db.connection {
        Connection::MySql(_) => (MYSQL, MYSQL_STAGING),
        Connection::Sqlite(_) => (SQLITE, ""),
    };
    db.execute("making the tables", definition).await?;
    Ok(prefix)
}

/// Adds indexes and foreign keys and makes the tables visible, all at once.
pub(super) async fn finish(db: &mut Database) -> Result<(), ProducerError> {
    let steps: &[&str] = match db.connection {
        Connection::MySql(_) => &MYSQL_FINISH,
        Connection::Sqlite(_) => &SQLITE_FINISH,
    };
    for step in steps {
        db.execute("building the indexes", *step).await?;
    }
    if matches!(db.connection, Connection::MySql(_)) {
        // Fresh statistics; it answers with rows, which execute() drops.
        db.execute("analyzing the tables", "ANALYZE TABLE customers, products, transactions").await?;
    }
    Ok(())
}

async fn exclude_other_seeds(db: &mut Database) -> Result<(), ProducerError> {
    match db.connection {
        Connection::MySql(_) => {
            // Held until the connection ends, which a server notices late if a seed was killed: hence the 5 s.
            // Names of locks are limited to 64 characters.
            let sql = "SELECT CAST(GET_LOCK(CONCAT('seed ', LEFT(DATABASE(), 59)), 5) AS SIGNED)";
            let got: Option<(Option<i64>,)> = db.rows("taking the seed's lock", sql).await?.pop();
            if got == Some((Some(1),)) {
                Ok(())
            } else {
                Err(ProducerError::SeedRunning(db.place().to_owned()))
            }
        }
        Connection::Sqlite(_) => {
            // Old rows may be broken on purpose; dropping them must not depend on their foreign keys.
            db.execute("beginning", "PRAGMA foreign_keys = OFF").await?;
            db.execute("beginning (another program holds the file?)", "BEGIN IMMEDIATE").await.map(drop)
        }
    }
}
