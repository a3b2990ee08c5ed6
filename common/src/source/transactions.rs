//! Transactions, streamed in batches from several connections.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::NaiveDate;
use futures::TryStreamExt;
use sqlx::AssertSqlSafe;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::decode::SourceRow;
use super::tables::{KEYS_PER_QUERY, list};
use super::{MAX_CONNECTIONS, Part, Source, SourceError, on_pool};
use crate::offsets::GapFinder;
use crate::schema::{CustomerId, Transaction, TxnId};

/// Rows in a batch: enough that handing it over costs nothing, few enough that batches in flight stay small.
const ROWS_PER_BATCH: usize = 2_048;

/// Batches that wait for the reader's owner.
const BATCHES_WAITING: usize = 4;

/// Dates that one query counts.
const DATES_PER_QUERY: usize = 100;

/// Some rows of one part.
#[derive(Debug)]
pub struct Batch {
    /// Index of the part.
    pub part: usize,
    /// Rows, in the part's order.
    pub rows: Vec<Transaction>,
}

/// Reads parts side by side. Dropping it stops the reading.
#[derive(Debug)]
pub struct TransactionReader {
    batches: mpsc::Receiver<Result<Batch, SourceError>>,
    _readers: JoinSet<()>,
}

impl TransactionReader {
    /// The next batch of any part, `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Batch>, SourceError> {
        self.batches.recv().await.transpose()
    }
}

impl Source {
    /// Starts reading `parts` on at most `connections`; each part's rows come in its order.
    #[must_use]
    pub fn read(&self, parts: Vec<Part>, connections: usize) -> TransactionReader {
        let (sender, batches) = mpsc::channel(BATCHES_WAITING);
        let mut readers = JoinSet::new();
        // The lease's renewal and the books need connections, too.
        let connections = connections.clamp(1, parts.len().clamp(1, MAX_CONNECTIONS as usize - 2));
        let waiting: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(parts.into_iter().enumerate().collect()));
        for _ in 0..connections {
            let (source, sender, waiting) = (self.clone(), sender.clone(), Arc::clone(&waiting));
            readers.spawn(async move {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((index, part)) = next else { return };
                    if let Err(error) = source.read_part(index, part, &sender).await {
                        // Nobody is left to hear of it where sending fails.
                        let _ = sender.send(Err(source.fault("read transactions", error))).await;
                        return;
                    }
                }
            });
        }
        TransactionReader { batches, _readers: readers }
    }

    async fn read_part(
        &self,
        index: usize,
        part: Part,
        sender: &mpsc::Sender<Result<Batch, SourceError>>,
    ) -> Result<(), sqlx::Error> {
        on_pool!(self, |pool, dialect| {
            let sql = format!(
                "SELECT {} FROM transactions WHERE {}",
                dialect.transaction_columns,
                part.condition()
            );
            // A stream over the pool itself would wrap each row once more.
            let mut connection = pool.acquire().await?;
            let mut found = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch(&mut *connection);
            let mut rows = Vec::with_capacity(ROWS_PER_BATCH);
            while let Some(row) = found.try_next().await? {
                rows.push(row.transaction());
                if rows.len() == ROWS_PER_BATCH {
                    let full = std::mem::replace(&mut rows, Vec::with_capacity(ROWS_PER_BATCH));
                    if sender.send(Ok(Batch { part: index, rows: full })).await.is_err() {
                        return Ok(());
                    }
                }
            }
            if !rows.is_empty() {
                let _ = sender.send(Ok(Batch { part: index, rows })).await;
            }
            Ok(())
        })
    }

    /// The ranges of ids without a row between `watermark` and `highest`, ascending. Reads ids only.
    pub async fn missing_ids(
        &self,
        watermark: TxnId,
        highest: TxnId,
    ) -> Result<Vec<(u64, u64)>, SourceError> {
        if watermark >= highest {
            return Ok(Vec::new());
        }
        let mut finder = GapFinder::new(watermark.0 + 1, highest.0);
        let sql = format!(
            "SELECT txn_id FROM transactions WHERE txn_id > {watermark} AND txn_id <= {highest} ORDER BY txn_id"
        );
        let read = on_pool!(self, |pool, dialect| {
            async {
                let mut ids = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch(pool);
                while let Some(row) = ids.try_next().await? {
                    row.integer(0).into_iter().for_each(|id| finder.present(id.cast_unsigned()));
                }
                Ok(())
            }
            .await
        });
        read.map_err(|error| self.fault("look for missing transaction ids", error))?;
        Ok(finder.finish())
    }

    /// The highest transaction id, if there is any row.
    pub async fn highest_txn_id(&self) -> Result<Option<TxnId>, SourceError> {
        let row = on_pool!(self, |pool, dialect| {
            sqlx::query("SELECT MAX(txn_id) FROM transactions WHERE txn_id >= 1")
                .fetch_one(pool)
                .await
                .map(|row| row.integer(0))
        });
        let highest = row.map_err(|error| self.fault("look for the highest transaction id", error))?;
        Ok(highest.map(|id| TxnId(id.cast_unsigned())))
    }

    /// Whether these customers have more than `most` transactions. By the index on `customer_id`, no further than that.
    pub async fn have_more_than(&self, customers: &[CustomerId], most: u64) -> Result<bool, SourceError> {
        let mut counted = 0;
        for customers in customers.chunks(KEYS_PER_QUERY) {
            let sql = format!(
                "SELECT COUNT(*) FROM (SELECT 1 FROM transactions WHERE customer_id IN ({}) LIMIT {}) few",
                list(customers),
                most.saturating_add(1) - counted
            );
            let count = on_pool!(self, |pool, dialect| {
                let row = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_one(pool).await;
                row.map(|row| row.integer(0))
            })
            .map_err(|error| self.fault("count customers' transactions", error))?;
            counted += count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default();
            if counted > most {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many transactions up to `last` each of these UTC dates has; a date without any is missing.
    pub async fn count_by_date(
        &self,
        dates: &BTreeSet<NaiveDate>,
        last: TxnId,
    ) -> Result<BTreeMap<NaiveDate, u64>, SourceError> {
        let mut counts = BTreeMap::new();
        let dates: Vec<&NaiveDate> = dates.iter().collect();
        for dates in dates.chunks(DATES_PER_QUERY) {
            let each: Vec<String> = dates
                .iter()
                .map(|date| {
                    format!(
                        "SELECT '{date}', COUNT(*) FROM transactions WHERE {}",
                        Part::dates(**date, **date, last).condition()
                    )
                })
                .collect();
            let sql = each.join(" UNION ALL ");
            let counted: Vec<(Option<String>, Option<i64>)> = on_pool!(self, |pool, dialect| {
                let rows = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(pool).await;
                rows.map(|rows| rows.iter().map(|row| (row.text(0), row.integer(1))).collect())
            })
            .map_err(|error| self.fault("count transactions by date", error))?;
            let rows = |count: Option<i64>| {
                count.and_then(|count| u64::try_from(count).ok()).filter(|count| *count > 0)
            };
            counts.extend(
                counted.into_iter().filter_map(|(date, count)| Some((date?.parse().ok()?, rows(count)?))),
            );
        }
        Ok(counts)
    }

    /// How many transactions up to `last` each customer has on a UTC date, by customer.
    pub async fn count_by_customer(
        &self,
        date: NaiveDate,
        last: TxnId,
    ) -> Result<Vec<(CustomerId, u64)>, SourceError> {
        let sql = format!(
            "SELECT customer_id, COUNT(*) FROM transactions WHERE {} GROUP BY customer_id ORDER BY customer_id",
            Part::dates(date, date, last).condition()
        );
        let counted: Vec<(Option<i32>, Option<i64>)> = on_pool!(self, |pool, dialect| {
            let rows = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(pool).await;
            rows.map(|rows| rows.iter().map(|row| (row.int(0), row.integer(1))).collect())
        })
        .map_err(|error| self.fault("count a day's transactions by customer", error))?;
        let known =
            |(id, count): (Option<i32>, Option<i64>)| Some((CustomerId(id?), u64::try_from(count?).ok()?));
        Ok(counted.into_iter().filter_map(known).collect())
    }
}
