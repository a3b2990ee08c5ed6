//! Where `MySQL` and `SQLite` say the same in other words.

/// SQL that differs between the databases.
#[derive(Debug)]
pub(super) struct Dialect {
    /// Starts a transaction that will write.
    pub begin: &'static str,
    /// Microseconds since 1970 by the database's clock.
    pub now_micros: &'static str,
    /// The larger of two numbers, as a function's name.
    pub greatest: &'static str,
    /// Columns of a transaction, in the order that `decode` reads them.
    pub transaction_columns: &'static str,
    /// Columns of a customer, in the order that `decode` reads them.
    pub customer_columns: &'static str,
    /// Columns of a product, in the order that `decode` reads them.
    pub product_columns: &'static str,
    /// What an insert into `etl_quarantine` does with a key that is there.
    pub quarantine_conflict: &'static str,
    /// The pipelines' own tables; each statement can be repeated. `etl_run_history` comes last.
    pub own_tables: &'static [&'static str],
}

pub(super) static MYSQL: Dialect = Dialect {
    begin: "BEGIN",
    now_micros: "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)",
    greatest: "GREATEST",
    transaction_columns: "txn_id, customer_id, product_id, qty, amount, txn_timestamp",
    // As text: the driver cannot tell a zero date from a null.
    customer_columns: "customer_id, name, email, gender, CAST(signup_date AS CHAR)",
    product_columns: "product_id, category, price",
    quarantine_conflict: " ON DUPLICATE KEY UPDATE reasons = VALUES(reasons), detail = VALUES(detail), \
                          last_seen = VALUES(last_seen)",
    own_tables: &[
        "CREATE TABLE IF NOT EXISTS profile_offsets (source VARCHAR(128) PRIMARY KEY, last_txn_id BIGINT)",
        "CREATE TABLE IF NOT EXISTS txn_summary_offsets (source VARCHAR(128) PRIMARY KEY, last_txnid BIGINT)",
        "CREATE TABLE IF NOT EXISTS etl_lease (job VARCHAR(32) PRIMARY KEY, owner VARCHAR(64) NOT NULL, \
         fence BIGINT NOT NULL, expires_at BIGINT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS etl_gaps (pipeline CHAR(1) NOT NULL, first_id BIGINT NOT NULL, \
         last_id BIGINT NOT NULL, first_seen VARCHAR(32) NOT NULL, PRIMARY KEY (pipeline, first_id))",
        "CREATE TABLE IF NOT EXISTS etl_quarantine (pipeline CHAR(1) NOT NULL, entity VARCHAR(16) NOT NULL, \
         entity_id BIGINT NULL, reasons JSON NOT NULL, detail TEXT NOT NULL, first_seen VARCHAR(32) NOT NULL, \
         last_seen VARCHAR(32) NOT NULL, UNIQUE KEY (pipeline, entity, entity_id)) DEFAULT CHARSET utf8mb4",
        "CREATE TABLE IF NOT EXISTS etl_run_history (run_id VARCHAR(36) PRIMARY KEY, pipeline CHAR(1) NOT NULL, \
         started_at VARCHAR(40) NOT NULL, report MEDIUMTEXT NOT NULL, KEY (pipeline, run_id)) DEFAULT CHARSET utf8mb4",
    ],
};

pub(super) static SQLITE: Dialect = Dialect {
    begin: "BEGIN IMMEDIATE",
    now_micros: "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
    greatest: "MAX",
    // SQLite's columns hold values of any type; as text they keep what the row really says.
    transaction_columns: "txn_id, customer_id, product_id, qty, CAST(amount AS TEXT), CAST(txn_timestamp AS TEXT)",
    customer_columns: "customer_id, CAST(name AS TEXT), CAST(email AS TEXT), CAST(gender AS TEXT), CAST(signup_date AS TEXT)",
    product_columns: "product_id, CAST(category AS TEXT), CAST(price AS TEXT)",
    quarantine_conflict: " ON CONFLICT (pipeline, entity, entity_id) DO UPDATE SET reasons = excluded.reasons, \
                          detail = excluded.detail, last_seen = excluded.last_seen",
    own_tables: &[
        "CREATE TABLE IF NOT EXISTS profile_offsets (source VARCHAR(128) PRIMARY KEY, last_txn_id BIGINT)",
        "CREATE TABLE IF NOT EXISTS txn_summary_offsets (source VARCHAR(128) PRIMARY KEY, last_txnid BIGINT)",
        "CREATE TABLE IF NOT EXISTS etl_lease (job TEXT PRIMARY KEY, owner TEXT NOT NULL, fence BIGINT NOT NULL, \
         expires_at BIGINT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS etl_gaps (pipeline TEXT NOT NULL, first_id BIGINT NOT NULL, \
         last_id BIGINT NOT NULL, first_seen TEXT NOT NULL, PRIMARY KEY (pipeline, first_id))",
        "CREATE TABLE IF NOT EXISTS etl_quarantine (pipeline TEXT NOT NULL, entity TEXT NOT NULL, entity_id BIGINT NULL, \
         reasons TEXT NOT NULL, detail TEXT NOT NULL, first_seen TEXT NOT NULL, last_seen TEXT NOT NULL, \
         UNIQUE (pipeline, entity, entity_id))",
        "CREATE TABLE IF NOT EXISTS etl_run_history (run_id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, \
         started_at TEXT NOT NULL, report TEXT NOT NULL)",
    ],
};
