//! `append`: transactions for yesterday and today.

use std::fmt;

use chrono::{NaiveDate, TimeDelta};
use common::run::{Clock, Shutdown};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rust_decimal::Decimal;

use super::database::{Connection, Database, Missing};
use super::insert::insert;
use super::rows::Shop;
use crate::config::{AppendConfig, day_before, midnight};
use crate::error::ProducerError;
use crate::popularity::Spread;

/// What `append` has added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendSummary {
    /// New rows of `transactions`.
    pub transactions: u64,
    /// The first of the two days, the other is the one after.
    pub yesterday: NaiveDate,
}

impl fmt::Display for AppendSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "appended {} transactions of {} and the day after", self.transactions, self.yesterday)
    }
}

/// Adds transactions for yesterday and for today up to now (UTC), all or none. The database assigns their ids.
///
/// Customers and products are picked from those in the tables, each at the price that stands there.
pub async fn append(
    config: &AppendConfig,
    clock: &Clock,
    shutdown: &Shutdown,
) -> Result<AppendSummary, ProducerError> {
    let work = async {
        let mut db = Database::open(&config.source, Missing::Refuse).await?;
        let shop = read_shop(&mut db, config.popularity).await?;
        add(&mut db, shop, config.per_day, clock).await
    };
    shutdown.or(work).await.unwrap_or(Err(ProducerError::Interrupted("nothing was appended")))
}

async fn add(
    db: &mut Database,
    shop: Shop,
    per_day: u32,
    clock: &Clock,
) -> Result<AppendSummary, ProducerError> {
    let now = clock.now();
    let today = midnight(now.date_naive());
    let yesterday = midnight(day_before(now.date_naive()));
    let count = u64::from(per_day);
    // The end is exclusive: a purchase of this very second is not in the future.
    let days = [(yesterday, today), (today, now + TimeDelta::seconds(1))];
    let rows = days
        .into_iter()
        .flat_map(|(from, to)| shop.clone().purchases(StdRng::from_os_rng(), count, from, to));

    let begin = if matches!(db.connection, Connection::Sqlite(_)) { "BEGIN IMMEDIATE" } else { "BEGIN" };
    db.execute("beginning", begin).await?;
    let into = "transactions (customer_id, product_id, qty, amount, txn_timestamp)";
    let transactions = insert(db, into, rows, |_| ()).await?;
    db.execute("committing", "COMMIT").await?;
    Ok(AppendSummary { transactions, yesterday: yesterday.date_naive() })
}

async fn read_shop(db: &mut Database, spread: Spread) -> Result<Shop, ProducerError> {
    let standing = db.tables().await?;
    let there = |table: &str| standing.iter().any(|name| name == table);
    for table in ["customers", "products", "transactions"] {
        if !there(table) {
            return Err(ProducerError::Empty { table, place: db.place().to_owned() });
        }
    }
    let customers: Vec<(i32,)> =
        db.rows("reading the customers", "SELECT customer_id FROM customers ORDER BY customer_id").await?;
    let prices: Vec<(i32, String)> = db
        .rows(
            "reading the prices",
            "SELECT product_id, CAST(price AS CHAR) FROM products WHERE price IS NOT NULL ORDER BY product_id",
        )
        .await?;
    for (table, is_empty) in [("customers", customers.is_empty()), ("products", prices.is_empty())] {
        if is_empty {
            return Err(ProducerError::Empty { table, place: db.place().to_owned() });
        }
    }
    let prices = prices
        .into_iter()
        .map(|(id, text)| Ok((id, price(id, text)?)))
        .collect::<Result<_, ProducerError>>()?;
    Ok(Shop::new(customers.into_iter().map(|(id,)| id).collect(), prices, spread))
}

/// A price with at most two decimals: qty × price is then exact in the amount's two.
fn price(product_id: i32, text: String) -> Result<Decimal, ProducerError> {
    match Decimal::from_str_exact(text.trim()) {
        Ok(price) if price.normalize().scale() <= 2 => Ok(price),
        _ => Err(ProducerError::Price { product_id, price: text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_amount_of_money_is_a_price() {
        for (text, expected) in [("10", Some("10")), ("10.50", Some("10.5")), ("9.990", Some("9.99"))] {
            assert_eq!(price(1, text.into()).ok(), expected.map(|text| text.parse().unwrap()), "{text}");
        }
        for text in ["", "ten", "1.005", "1e3"] {
            assert!(price(1, text.into()).is_err(), "{text}");
        }
    }
}
