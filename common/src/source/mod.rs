//! The source database: `MySQL` or `MariaDB`, or `SQLite` for trying out.
//!
//! Pipelines read the shop's tables here and keep their own bookkeeping beside them: offsets, gaps, quarantine,
//! run history and lease.

mod bookkeeping;
mod customer_range;
mod dates;
mod decode;
mod dialect;
mod error;
mod indexes;
mod lease;
mod part;
mod quarantine;
mod quarantine_list;
mod running;
mod schema_check;
mod tables;
mod transactions;

use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

pub use bookkeeping::{Commit, Job};
pub use customer_range::CustomerRange;
pub use error::SourceError;
pub use lease::{Lease, LeaseLost};
pub use part::Part;
pub use quarantine::QuarantinedKey;
pub use quarantine_list::ListedKey;
pub use schema_check::SourceKeys;
pub use transactions::{Batch, TransactionReader};

use crate::retry::Backoff;
use crate::settings::SecretUrl;

/// Connections at most; a run reads on a few and writes on one.
const MAX_CONNECTIONS: u32 = 8;

/// A source database that is open. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Source {
    pool: Pool,
    place: String,
}

#[derive(Debug, Clone)]
enum Pool {
    MySql(MySqlPool),
    Sqlite(SqlitePool),
}

/// Runs the same code on either pool; `$begin` starts a transaction that will write.
macro_rules! on_pool {
    ($source:expr, |$pool:ident, $dialect:ident| $body:expr) => {
        match &$source.pool {
            crate::source::Pool::MySql($pool) => {
                #[allow(unused_variables)]
                let $dialect = &crate::source::dialect::MYSQL;
                $body
            }
            crate::source::Pool::Sqlite($pool) => {
                #[allow(unused_variables)]
                let $dialect = &crate::source::dialect::SQLITE;
                $body
            }
        }
    };
}
use on_pool;

/// Runs statements (`?` gives up on a database error) and commits them, all or nothing, if `$lease` still holds.
macro_rules! under_lease {
    ($source:expr, $lease:expr, $action:literal, |$transaction:ident, $dialect:ident| $statements:block) => {
        crate::source::on_pool!($source, |pool, $dialect| {
            let failed = |error| $source.fault($action, error);
            let mut $transaction = pool.begin_with($dialect.begin).await.map_err(failed)?;
            let renewal = sqlx::AssertSqlSafe($lease.renewal($dialect));
            let held = sqlx::query(renewal).execute(&mut *$transaction).await.map_err(failed)?;
            if held.rows_affected() != 1 {
                return Err(SourceError::LeaseLost);
            }
            let written: Result<(), sqlx::Error> = async {
                $statements
                $transaction.commit().await
            }
            .await;
            written.map_err(failed)
        })
    };
}
use under_lease;

impl Source {
    /// Opens the database at `mysql://…` or `sqlite:///…`; one connection is made to see that it works.
    pub async fn open(url: &SecretUrl) -> Result<Self, SourceError> {
        let place = url.to_string();
        let pool = match url.scheme() {
            "mysql" | "mariadb" => Pool::MySql(open_mysql(url, &place).await?),
            "sqlite" => Pool::Sqlite(open_sqlite(url, &place).await?),
            _ => return Err(SourceError::Address(url.clone())),
        };
        Ok(Self { pool, place })
    }

    fn fault(&self, action: &str, error: sqlx::Error) -> SourceError {
        SourceError::query(action, &self.place, error)
    }
}

/// Repeats a transaction that lost a deadlock. Jobs that keep their books at the same time may lock each other's
/// rows and gaps: where an index has few rows, InnoDB scans all of them.
async fn despite_deadlocks(
    mut transaction: impl AsyncFnMut() -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    let mut backoff = Backoff::default();
    loop {
        match transaction().await {
            Err(error) if error.is_deadlock() => match backoff.next_wait() {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(error),
            },
            result => return result,
        }
    }
}

async fn open_mysql(url: &SecretUrl, place: &str) -> Result<MySqlPool, SourceError> {
    let options: MySqlConnectOptions = url
        .expose()
        .as_str()
        .parse()
        .map_err(|error| SourceError::query("read the address", place, error))?;
    if options.get_database().is_none_or(str::is_empty) {
        return Err(SourceError::NoDatabase(url.clone()));
    }
    MySqlPoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(Duration::from_secs(15))
        .connect_with(options.timezone(Some("+00:00".to_owned())).charset("utf8mb4"))
        .await
        .map_err(|error| SourceError::query("connect", place, error))
}

async fn open_sqlite(url: &SecretUrl, place: &str) -> Result<SqlitePool, SourceError> {
    let options = SqliteConnectOptions::new()
        .filename(url.file_path())
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(30));
    SqlitePoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .connect_with(options)
        .await
        .map_err(|error| SourceError::query("open the file", place, error))
}
