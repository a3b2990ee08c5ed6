//! The rows of the shop, made from a seed value alone: the same one gives the same rows.

use std::fmt::Write;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rust_decimal::Decimal;

use crate::popularity::{Popularity, Spread};

const CATEGORIES: [&str; 8] =
    ["Electronics", "Grocery", "Sports", "Beauty", "Toys", "Health", "Home", "Fashion"];
const GENDERS: [char; 3] = ['M', 'F', 'O'];

/// Prices in cents: 10.00 to 9,999.99, as in the seed's data.
const PRICE_CENTS: std::ops::RangeInclusive<i64> = 1_000..=999_999;

/// Customers sign up within this many days before the first transaction, so none buys before.
const SIGNUP_DAYS: u64 = 730;

/// A row that can be written as a tuple of `VALUES`. Nothing in it needs escaping.
pub(super) trait SqlRow {
    /// Appends `(…)`.
    fn write(&self, sql: &mut String);
}

/// A row of `customers`.
#[derive(Debug, PartialEq)]
pub(super) struct Customer {
    pub(super) id: i32,
    pub(super) gender: char,
    pub(super) signup: NaiveDate,
}

impl SqlRow for Customer {
    fn write(&self, sql: &mut String) {
        let Self { id, gender, signup } = self;
        push(sql, format_args!("({id},'Customer_{id}','customer_{id}@example.com','{gender}','{signup}')"));
    }
}

/// A row of `products`.
#[derive(Debug, PartialEq)]
pub(super) struct Product {
    pub(super) id: i32,
    pub(super) category: &'static str,
    pub(super) price: Decimal,
}

impl SqlRow for Product {
    fn write(&self, sql: &mut String) {
        let Self { id, category, price } = self;
        push(sql, format_args!("({id},'Product_{id}','{category}','{price:.2}')"));
    }
}

/// What a row of `transactions` says, without its id.
#[derive(Debug, PartialEq)]
pub(super) struct Purchase {
    pub(super) customer: i32,
    pub(super) product: i32,
    pub(super) qty: u8,
    pub(super) amount: Decimal,
    pub(super) at: NaiveDateTime,
}

impl SqlRow for Purchase {
    fn write(&self, sql: &mut String) {
        let Self { customer, product, qty, amount, at } = self;
        push(sql, format_args!("({customer},{product},{qty},'{amount:.2}','{at}')"));
    }
}

fn push(sql: &mut String, row: std::fmt::Arguments<'_>) {
    sql.write_fmt(row).expect("writing to a string cannot fail");
}

/// `--seed-value`; each table draws from a stream of its own, so that their sizes don't change one another.
#[derive(Debug, Clone, Copy)]
pub(super) struct SeedValue(pub(super) u64);

impl SeedValue {
    fn stream(self, table: u64) -> StdRng {
        StdRng::seed_from_u64(self.0.wrapping_mul(4).wrapping_add(table))
    }

    /// Customers 1 to `count`, who signed up before `from`.
    pub(super) fn customers(self, count: i32, from: NaiveDate) -> impl Iterator<Item = Customer> + Send {
        let mut rng = self.stream(1);
        (1..=count).map(move |id| Customer {
            id,
            gender: GENDERS[rng.random_range(0..GENDERS.len())],
            signup: from.checked_sub_days(Days::new(rng.random_range(0..SIGNUP_DAYS))).unwrap_or(from),
        })
    }

    /// Products 1 to `count`.
    pub(super) fn products(self, count: i32) -> impl Iterator<Item = Product> + Send {
        let mut rng = self.stream(2);
        (1..=count).map(move |id| Product {
            id,
            category: CATEGORIES[rng.random_range(0..CATEGORIES.len())],
            price: Decimal::new(rng.random_range(PRICE_CENTS), 2),
        })
    }

    /// `count` purchases in ascending order of time, in `[from, to)`.
    pub(super) fn purchases(
        self,
        shop: Shop,
        count: u64,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
    ) -> impl Iterator<Item = Purchase> + Send {
        shop.purchases(self.stream(3), count, from, to)
    }
}

/// Who buys, and what at which price.
#[derive(Debug, Clone)]
pub(super) struct Shop {
    customers: Vec<i32>,
    products: Vec<(i32, Decimal)>,
    buyers: Popularity,
    bestsellers: Popularity,
}

impl Shop {
    /// A shop; neither customers nor products may be empty.
    pub(super) fn new(customers: Vec<i32>, products: Vec<(i32, Decimal)>, spread: Spread) -> Self {
        let buyers = Popularity::over(customers.len(), spread);
        let bestsellers = Popularity::over(products.len(), spread);
        Self { customers, products, buyers, bestsellers }
    }

    /// `count` purchases, spread evenly over `[from, to)` in ascending order of time.
    pub(super) fn purchases(
        self,
        mut rng: StdRng,
        count: u64,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> impl Iterator<Item = Purchase> + Send {
        let span_s = (to - from).num_seconds().max(1).unsigned_abs();
        (0..count).map(move |i| {
            let (product, price) = self.products[self.bestsellers.pick(&mut rng)];
            let qty = rng.random_range(1..=5u8);
            // Each purchase has a slot of its own, so their order in time needs no memory.
            let offset = (u128::from(span_s) * u128::from(i) + u128::from(rng.random_range(0..span_s)))
                / u128::from(count);
            let offset = TimeDelta::seconds(i64::try_from(offset).expect("within the period, which fits"));
            Purchase {
                customer: self.customers[self.buyers.pick(&mut rng)],
                product,
                qty,
                amount: price * Decimal::from(qty),
                at: (from + offset).naive_utc(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::midnight;
    use proptest::prelude::*;

    fn day(text: &str) -> DateTime<Utc> {
        midnight(text.parse().unwrap())
    }

    fn shop(seed: SeedValue) -> Shop {
        let prices = seed.products(10).map(|product| (product.id, product.price)).collect();
        Shop::new((1..=50).collect(), prices, Spread::Skewed)
    }

    fn purchases(seed: u64, count: u64) -> Vec<Purchase> {
        let seed = SeedValue(seed);
        seed.purchases(shop(seed), count, (day("2025-01-01"), day("2025-02-01"))).collect()
    }

    #[test]
    fn a_seed_value_means_these_rows_for_ever() {
        let mut sql = String::new();
        let seed = SeedValue(42);
        seed.customers(2, "2020-01-01".parse().unwrap()).for_each(|row| row.write(&mut sql));
        seed.products(2).for_each(|row| row.write(&mut sql));
        for row in purchases(42, 3) {
            row.write(&mut sql);
        }
        assert_eq!(sql.replace(")(", ")\n("), PINNED.trim());
    }

    const PINNED: &str = "
(1,'Customer_1','customer_1@example.com','O','2019-11-19')
(2,'Customer_2','customer_2@example.com','F','2019-12-14')
(1,'Product_1','Health','9627.91')
(2,'Product_2','Sports','9100.23')
(42,6,5,'3981.25','2025-01-01 19:12:01')
(13,1,4,'38511.64','2025-01-18 07:13:05')
(25,9,5,'41820.00','2025-01-26 14:11:12')
";

    #[test]
    fn another_seed_value_means_other_rows() {
        assert_eq!(purchases(1, 100), purchases(1, 100));
        assert_ne!(purchases(1, 100), purchases(2, 100));
    }

    proptest! {
        #[test]
        fn purchases_add_up_and_ascend_within_the_period(seed: u64, count in 1u64..2_000) {
            let prices = shop(SeedValue(seed)).products;
            let rows = purchases(seed, count);
            prop_assert_eq!(rows.len() as u64, count);
            for row in &rows {
                let price = prices.iter().find(|(id, _)| *id == row.product).unwrap().1;
                prop_assert_eq!(row.amount, price * Decimal::from(row.qty));
                prop_assert_eq!(row.amount.scale(), 2);
                prop_assert!((1..=5).contains(&row.qty) && (1..=50).contains(&row.customer));
                prop_assert!(row.at >= day("2025-01-01").naive_utc() && row.at < day("2025-02-01").naive_utc());
            }
            prop_assert!(rows.is_sorted_by_key(|row| row.at));
        }
    }
}
