//! What can go wrong with the source database.

use crate::run::Exit;
use crate::settings::SecretUrl;

/// A source operation failed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The address is not one of a source.
    #[error("{0} is not a source: mysql://user:pw@host:port/db or sqlite:///abs/file.db")]
    Address(SecretUrl),
    /// The address names no database.
    #[error("{0} names no database: mysql://user:pw@host:port/db")]
    NoDatabase(SecretUrl),
    /// A table or column is missing or has a type that cannot hold what it should.
    #[error("the source's schema does not fit: {0}")]
    Schema(String),
    /// The database did not answer, or refused.
    #[error("cannot {action} in {place}: {cause}")]
    Query {
        /// What was tried.
        action: String,
        /// The database, without its password.
        place: String,
        /// What happened.
        cause: sqlx::Error,
    },
    /// Another run took the lease: this one was stopped for longer than it lasts.
    #[error("the lease of this run was taken over by another run; nothing more is written")]
    LeaseLost,
}

impl SourceError {
    pub(super) fn query(action: &str, place: &str, cause: sqlx::Error) -> Self {
        Self::Query { action: action.to_owned(), place: place.to_owned(), cause }
    }

    /// Whether the transaction lost a deadlock: it was rolled back as a whole, and its winner goes on.
    pub(super) fn is_deadlock(&self) -> bool {
        let Self::Query { cause: sqlx::Error::Database(error), .. } = self else { return false };
        error.code().as_deref() == Some("40001")
    }

    /// Whether the database says that a table is not there.
    pub(super) fn is_missing_table(&self) -> bool {
        let Self::Query { cause: sqlx::Error::Database(error), .. } = self else { return false };
        match error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
            Some(error) => error.number() == 1146,
            None => error.message().starts_with("no such table"),
        }
    }

    /// The exit code of a program that ends with this error.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Address(_) | Self::NoDatabase(_) | Self::Schema(_) => Exit::Usage,
            Self::Query { cause, .. } if is_setting(cause) => Exit::Usage,
            Self::Query { .. } | Self::LeaseLost => Exit::Failed,
        }
    }
}

/// Whether the database says that the address is wrong: user or password, database, file.
fn is_setting(cause: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = cause else { return false };
    if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return matches!(error.number(), 1044 | 1045 | 1049 | 1698);
    }
    // SQLITE_CANTOPEN, SQLITE_NOTADB
    matches!(error.code().as_deref(), Some("14" | "26"))
}
