//! Which of the database's transactions could still bring a lower id to light.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::mysql::MySqlPool;
use sqlx::{AssertSqlSafe, Row};

use super::decode::SourceRow;
use super::{Job, Pool, Source, SourceError, on_pool};
use crate::offsets::Running;

/// `innodb_trx` numbers transactions that have only read with addresses above this.
const READ_ONLY_TRX: u64 = 1 << 48;

/// `InnoDB` answers from its last view until nobody has asked for 100 ms.
const VIEW_LIVES: Duration = Duration::from_millis(120);

/// Questions at most; somebody else may keep the old view alive.
const QUESTIONS: u32 = 3;

impl Source {
    /// The database's clock.
    async fn now(&self) -> Result<DateTime<Utc>, SourceError> {
        let row = on_pool!(self, |pool, dialect| {
            let sql = format!("SELECT {}", dialect.now_micros);
            sqlx::query(AssertSqlSafe(sql)).fetch_one(pool).await.map(|row| row.integer(0))
        });
        let micros = row.map_err(|error| self.fault("read the clock", error))?.unwrap_or_default();
        Ok(DateTime::from_timestamp_micros(micros).unwrap_or_default())
    }

    /// The transactions that have written and are still running, and the database's clock. [`Running::Unknown`] where
    /// other servers write as well.
    ///
    /// The answer is as fresh as the question or [`Running::Unknown`]: it is asked from within a transaction that
    /// has itself written, on the lease of `job`, and holds only if that transaction is in it. Without a job nothing is
    /// written, and the answer may be 100 ms old.
    pub async fn running_transactions(
        &self,
        job: Option<Job>,
    ) -> Result<(Running, DateTime<Utc>), SourceError> {
        let Pool::MySql(pool) = &self.pool else {
            // SQLite has one writer at a time: what took an id earlier has ended.
            return Ok((Running::None, self.now().await?));
        };
        if has_other_writers(pool).await.map_err(|error| self.fault("ask whether others write", error))? {
            return Ok((Running::Unknown, self.now().await?));
        }
        for question in 1..=QUESTIONS {
            match ask(pool, job).await {
                Ok((Some(running), now)) => return Ok((running, now)),
                Ok((None, now)) if question == QUESTIONS => return Ok((Running::Unknown, now)),
                Ok((None, _)) => tokio::time::sleep(VIEW_LIVES).await,
                Err(sqlx::Error::Database(error)) if error.message().contains("PROCESS") => {
                    return Ok((Running::Unknown, self.now().await?));
                }
                Err(error) => {
                    return Err(
                        self.fault("ask for running transactions (information_schema.innodb_trx)", error)
                    );
                }
            }
        }
        unreachable!("the last question is answered")
    }
}

/// Whether other servers write, too, whose transactions this one does not know: Galera, or several primaries.
async fn has_other_writers(pool: &MySqlPool) -> Result<bool, sqlx::Error> {
    let asked = "SHOW GLOBAL VARIABLES WHERE (Variable_name = 'wsrep_on' AND Value = 'ON') \
                 OR (Variable_name = 'auto_increment_increment' AND Value > 1)";
    Ok(!sqlx::raw_sql(asked).fetch_all(pool).await?.is_empty())
}

/// One question; `None` when the answer is older than the question.
async fn ask(pool: &MySqlPool, job: Option<Job>) -> Result<(Option<Running>, DateTime<Utc>), sqlx::Error> {
    let mut own = pool.begin().await?;
    if let Some(job) = job {
        let write = sqlx::query("UPDATE etl_lease SET fence = fence WHERE job = ?").bind(job.name());
        write.execute(&mut *own).await?;
    }
    let sql = format!(
        "SELECT UTC_TIMESTAMP(6), CAST(COALESCE(SUM(trx_mysql_thread_id = CONNECTION_ID()), 0) AS SIGNED), \
         MIN(CASE WHEN trx_mysql_thread_id <> CONNECTION_ID() AND CAST(trx_id AS UNSIGNED) < {READ_ONLY_TRX} \
         THEN CONVERT_TZ(trx_started, 'SYSTEM', '+00:00') END) FROM information_schema.innodb_trx"
    );
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *own).await?;
    own.rollback().await?;
    let fresh = job.is_none() || row.integer(1) == Some(1);
    let oldest: Option<chrono::NaiveDateTime> = row.try_get_unchecked(2)?;
    let running = oldest.map_or(Running::None, |oldest| Running::Since(oldest.and_utc()));
    Ok((fresh.then_some(running), row.timestamp(0).unwrap_or_default()))
}
