//! The source database: MySQL or SQLite behind the few things that `seed` and `append` ask for.

use std::str::FromStr;
use std::time::Duration;

use common::settings::SourceArgs;
use sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, FromRow, MySqlConnection, SqliteConnection};

use crate::error::ProducerError;

/// MySQL's "Unknown database".
const UNKNOWN_DATABASE: u16 = 1049;

/// How long to wait for a pipeline that is writing to the same SQLite file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// What to do about an SQLite file that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Make it.
    Create,
    /// Fail.
    Refuse,
}

/// One connection to the source. Dropping it rolls back what is not committed.
pub(super) struct Database {
    place: String,
    pub(super) connection: Connection,
}

/// The connection, by driver.
pub(super) enum Connection {
    /// `mysql://`
    MySql(Box<MySqlConnection>),
    /// `sqlite://`
    Sqlite(Box<SqliteConnection>),
}

impl Database {
    /// Connects; sessions are in UTC. Statements are long and slow on purpose: the driver need not log them.
    pub(super) async fn open(source: &SourceArgs, missing: Missing) -> Result<Self, ProducerError> {
        let (url, place) = (&source.source, source.source.to_string());
        let unusable =
            |problem: &str| ProducerError::Address { place: place.clone(), problem: problem.to_owned() };
        let connection = match url.scheme() {
            "mysql" => {
                // The driver sets time_zone = '+00:00' by itself.
                let options = MySqlConnectOptions::from_url(url.expose())
                    .map_err(|error| unusable(&format!("{error}")))?;
                let database = options
                    .get_database()
                    .ok_or_else(|| unusable("add the database's name: mysql://host/db"))?;
                match options.clone().disable_statement_logging().connect().await {
                    Err(error) if is_unknown_database(&error) => {
                        return Err(unusable(&format!("there is no database {database}; create it first")));
                    }
                    other => other.map(|connection| Connection::MySql(Box::new(connection))),
                }
            }
            "sqlite" => {
                let options = SqliteConnectOptions::from_str(url.expose().as_str())
                    .map_err(|error| unusable(&format!("{error}")))?
                    .create_if_missing(missing == Missing::Create)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Normal)
                    .busy_timeout(BUSY_TIMEOUT)
                    .disable_statement_logging();
                options.connect().await.map(|connection| Connection::Sqlite(Box::new(connection)))
            }
            _ => return Err(unusable("it must be mysql://user:pw@host:port/db or sqlite:///abs/file.db")),
        };
        match connection {
            Ok(connection) => Ok(Self { place, connection }),
            Err(cause) => Err(ProducerError::Connect { place, cause }),
        }
    }

    /// Where it is, without secrets.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Runs statements of our own making; `doing` says what for in an error. Returns the rows affected.
    pub(super) async fn execute(
        &mut self,
        doing: &str,
        sql: impl Into<String>,
    ) -> Result<u64, ProducerError> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.into()));
        let affected = match &mut self.connection {
            Connection::MySql(connection) => {
                sql.execute(&mut **connection).await.map(|done| done.rows_affected())
            }
            Connection::Sqlite(connection) => {
                sql.execute(&mut **connection).await.map(|done| done.rows_affected())
            }
        };
        affected.map_err(|cause| self.failed(doing, cause))
    }

    /// All rows of a query; `doing` says what for in an error.
    pub(super) async fn rows<R>(
        &mut self,
        doing: &str,
        sql: impl Into<String>,
    ) -> Result<Vec<R>, ProducerError>
    where
        R: for<'r> FromRow<'r, MySqlRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let sql = AssertSqlSafe(sql.into());
        let rows = match &mut self.connection {
            Connection::MySql(connection) => sqlx::query_as(sql).fetch_all(&mut **connection).await,
            Connection::Sqlite(connection) => sqlx::query_as(sql).fetch_all(&mut **connection).await,
        };
        rows.map_err(|cause| self.failed(doing, cause))
    }

    /// Names of the tables that stand now.
    pub(super) async fn tables(&mut self) -> Result<Vec<String>, ProducerError> {
        let sql = match self.connection {
            Connection::MySql(_) => {
                "SELECT CAST(table_name AS CHAR) FROM information_schema.tables \
                 WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
            }
            Connection::Sqlite(_) => "SELECT name FROM sqlite_schema WHERE type = 'table'",
        };
        Ok(self.rows::<(String,)>("listing the tables", sql).await?.into_iter().map(|(name,)| name).collect())
    }

    fn failed(&self, doing: &str, cause: sqlx::Error) -> ProducerError {
        ProducerError::Query { doing: doing.to_owned(), place: self.place.clone(), cause }
    }
}

fn is_unknown_database(error: &sqlx::Error) -> bool {
    let database = error.as_database_error().and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
    database.is_some_and(|error| error.number() == UNKNOWN_DATABASE)
}
