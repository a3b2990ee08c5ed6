//! `seed`: the tables, filled.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::run::{Clock, Shutdown, Stopwatch};

use super::database::{Database, Missing};
use super::insert::insert;
use super::rows::{Purchase, SeedValue, Shop, SqlRow};
use super::tables;
use crate::config::SeedConfig;
use crate::error::ProducerError;
use crate::progress::Progress;

/// What `seed` has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedSummary {
    /// Rows of `customers`.
    pub customers: u64,
    /// Rows of `products`.
    pub products: u64,
    /// Rows of `transactions`.
    pub transactions: u64,
    /// Wall time, indexes included.
    pub elapsed: Duration,
}

impl fmt::Display for SeedSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seeded {} customers, {} products, {} transactions in {:.1} s",
            self.customers,
            self.products,
            self.transactions,
            self.elapsed.as_secs_f64()
        )
    }
}

/// Makes the source tables and fills them; they appear whole or not at all.
///
/// The same settings (`--to` among them) give the same rows. Memory grows with customers and products, never with
/// transactions. A shutdown abandons the work.
pub async fn seed(
    config: &SeedConfig,
    clock: &Clock,
    shutdown: &Shutdown,
    progress: &Progress,
) -> Result<SeedSummary, ProducerError> {
    let period = config.period(clock)?;
    let work = async {
        let mut db = Database::open(&config.source, Missing::Create).await?;
        fill(&mut db, config, period, *progress).await
    };
    shutdown.or(work).await.unwrap_or(Err(ProducerError::Interrupted("nothing was seeded")))
}

async fn fill(
    db: &mut Database,
    config: &SeedConfig,
    period: (DateTime<Utc>, DateTime<Utc>),
    progress: Progress,
) -> Result<SeedSummary, ProducerError> {
    let watch = Stopwatch::start();
    let seed = SeedValue(config.seed_value);
    let prefix = tables::make(db, config.replace).await?;

    let customers = seed.customers(config.customers, period.0.date_naive());
    let mut count = progress.count("customers", u64::try_from(config.customers).ok());
    let customers = insert(db, &format!("{prefix}customers"), customers, |more| count.add(more)).await?;

    let mut count = progress.count("products", u64::try_from(config.products).ok());
    let products =
        insert(db, &format!("{prefix}products"), seed.products(config.products), |more| count.add(more))
            .await?;

    let prices = seed.products(config.products).map(|product| (product.id, product.price)).collect();
    let shop = Shop::new((1..=config.customers).collect(), prices, config.popularity);
    let rows = (1..)
        .zip(seed.purchases(shop, config.transactions, period))
        .map(|(id, purchase)| Transaction { id, purchase });
    let mut count = progress.count("transactions", Some(config.transactions));
    let transactions = insert(db, &format!("{prefix}transactions"), rows, |more| count.add(more)).await?;
    drop(count);

    tracing::info!("building the indexes");
    tables::finish(db).await?;
    Ok(SeedSummary { customers, products, transactions, elapsed: watch.elapsed() })
}

/// A purchase with its id.
struct Transaction {
    id: u64,
    purchase: Purchase,
}

impl SqlRow for Transaction {
    fn write(&self, sql: &mut String) {
        use fmt::Write;
        let Purchase { customer, product, qty, amount, at } = &self.purchase;
        write!(sql, "({},{customer},{product},{qty},'{amount:.2}','{at}')", self.id)
            .expect("writing to a string cannot fail");
    }
}
