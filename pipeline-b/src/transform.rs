//! Transactions of a day → its summaries. Pure: no clock, no I/O.

use common::quality::Catalog;
use common::schema::{CustomerId, ProductId, Transaction};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// Bytes that a transaction takes in memory.
pub const ROW_BYTES: u64 = size_of::<Purchase>() as u64;

/// Digits behind the point of money.
const SCALE: u32 = 2;

/// An accepted transaction, as far as its day's summary needs it.
#[derive(Debug, Clone, Copy)]
struct Purchase {
    cents: i64,
    customer: CustomerId,
    product: ProductId,
    category: u32,
    qty: i32,
}

/// The accepted transactions of one date.
#[derive(Debug, Clone, Default)]
pub struct Day {
    purchases: Vec<Purchase>,
    /// What was summed up already, by customer.
    summaries: Vec<Summary>,
    /// Σ amount in cents, summed apart from the customers' sums.
    cents: i128,
    /// Why the day has no summary.
    too_much: Option<String>,
}

/// One customer's day: a row of `txn_summary`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Whose.
    pub customer_id: CustomerId,
    /// Σ amount in cents, exact.
    pub cents: i128,
    /// Σ qty.
    pub total_items: i32,
    /// Different products.
    pub distinct_products: i32,
    /// Index of the category of most items; ties by name.
    pub top_category: u32,
}

impl Summary {
    /// Σ amount. The sum is exact; only this last step rounds, to the nearest double.
    #[must_use]
    pub fn total_amount(&self) -> f64 {
        money(self.cents).to_f64().unwrap_or(f64::NAN)
    }
}

impl Day {
    /// A day with room for this many transactions.
    #[must_use]
    pub fn for_rows(rows: u64) -> Self {
        Self { purchases: Vec::with_capacity(usize::try_from(rows).unwrap_or_default()), ..Self::default() }
    }

    /// Adds an accepted transaction.
    pub fn add(&mut self, row: &Transaction, catalog: &Catalog) {
        let purchase = purchase(row, catalog).expect("what an accepted transaction holds was judged");
        self.cents += i128::from(purchase.cents);
        self.purchases.push(purchase);
    }

    /// Σ amount of the day, exact.
    #[must_use]
    pub fn amount(&self) -> Decimal {
        money(self.cents)
    }

    /// Whether nothing was bought.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.purchases.is_empty() && self.summaries.is_empty()
    }

    /// Sums up what was added, to make room. What is added later is of customers behind all of these.
    pub fn condense(&mut self) {
        self.purchases.sort_unstable_by_key(|purchase| (purchase.customer, purchase.product));
        for purchases in self.purchases.chunk_by(|left, right| left.customer == right.customer) {
            match summary(purchases) {
                Ok(summary) => self.summaries.push(summary),
                Err(reason) => drop(self.too_much.get_or_insert(reason)),
            }
        }
        self.purchases.clear();
    }

    /// The day's summaries, by customer. The error says what does not fit.
    pub fn summaries(mut self) -> Result<Vec<Summary>, String> {
        self.condense();
        self.too_much.map_or(Ok(self.summaries), Err)
    }
}

/// Sums up one customer's purchases, which come sorted by product.
fn summary(purchases: &[Purchase]) -> Result<Summary, String> {
    let customer_id = purchases[0].customer;
    let products = purchases.chunk_by(|left, right| left.product == right.product).count();
    // Few categories a day: a list is searched faster than a map.
    let mut categories: Vec<(u32, i64)> = Vec::new();
    for purchase in purchases {
        let items = i64::from(purchase.qty);
        match categories.iter_mut().find(|(category, _)| *category == purchase.category) {
            Some((_, total)) => *total += items,
            None => categories.push((purchase.category, items)),
        }
    }
    // Category indexes are in the order of their names.
    let top = categories.iter().max_by_key(|(category, items)| (*items, std::cmp::Reverse(*category)));
    let items: i64 = categories.iter().map(|(_, items)| items).sum();
    let total_items = i32::try_from(items).map_err(|_| {
        format!("customer {customer_id} bought {items} items, and total_items holds {} at most", i32::MAX)
    })?;
    Ok(Summary {
        customer_id,
        cents: purchases.iter().map(|purchase| i128::from(purchase.cents)).sum(),
        total_items,
        // Each has one item at least.
        distinct_products: i32::try_from(products).unwrap_or(total_items),
        top_category: top.map_or(0, |(category, _)| *category),
    })
}

fn purchase(row: &Transaction, catalog: &Catalog) -> Option<Purchase> {
    let (customer, product, qty) = (row.customer_id?, row.product_id?, row.qty?);
    let category = catalog.product(product)?.category;
    Some(Purchase { cents: cents(row.amount?)?, customer, product, category, qty })
}

/// Whether `amount ≠ qty × price`, as far as all three are known.
#[must_use]
pub fn differs_from_price(row: &Transaction, catalog: &Catalog) -> bool {
    let price = row.product_id.and_then(|id| catalog.product(id)).and_then(|product| product.price);
    match (row.amount, row.qty, price) {
        (Some(amount), Some(qty), Some(price)) => price.checked_mul(qty.into()) != Some(amount),
        _ => false,
    }
}

fn cents(amount: Decimal) -> Option<i64> {
    if amount.scale() == SCALE {
        return amount.mantissa().try_into().ok();
    }
    let scaled = amount.checked_mul(Decimal::ONE_HUNDRED)?;
    if scaled.fract().is_zero() { scaled.to_i64() } else { None }
}

/// An exact amount from its cents.
#[must_use]
pub fn money(cents: i128) -> Decimal {
    Decimal::from_i128_with_scale(cents, SCALE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet, HashSet};

    use chrono::DateTime;
    use common::schema::{Product, TxnId};
    use proptest::prelude::*;

    /// Cents, items, products, items by category.
    type Group = (i128, i32, BTreeSet<i32>, BTreeMap<&'static str, i32>);

    const CATEGORIES: [&str; 3] = ["Books", "Home", "Toys"];

    fn catalog() -> Catalog {
        let product = |id: i32| Product {
            product_id: ProductId(id),
            category: Some(CATEGORIES[usize::try_from(id).unwrap() % 3].to_owned()),
            price: Some(Decimal::new(250, 2)),
        };
        Catalog::new(HashSet::new(), (0..9).map(product).collect(), HashSet::new())
    }

    fn row(customer: i32, product: i32, qty: i32, cents: i64) -> Transaction {
        Transaction {
            txn_id: TxnId(1),
            customer_id: Some(CustomerId(customer)),
            product_id: Some(ProductId(product)),
            qty: Some(qty),
            amount: Some(Decimal::new(cents, 2)),
            at: Some(DateTime::UNIX_EPOCH),
        }
    }

    proptest! {
        #[test]
        fn summaries_are_what_a_plain_group_by_gives(
            rows in proptest::collection::vec((0..6, 0..9, 1..100, 1i64..1_000_000), 1..200)
        ) {
            let catalog = catalog();
            let mut day = Day::default();
            let mut expected: BTreeMap<i32, Group> = BTreeMap::new();
            for &(customer, product, qty, cents) in &rows {
                day.add(&row(customer, product, qty, cents), &catalog);
                let group = expected.entry(customer).or_default();
                group.0 += i128::from(cents);
                group.1 += qty;
                group.2.insert(product);
                *group.3.entry(CATEGORIES[usize::try_from(product).unwrap() % 3]).or_default() += qty;
            }
            let amount = day.amount();
            let summaries = day.summaries().unwrap();
            prop_assert_eq!(summaries.iter().map(|s| money(s.cents)).sum::<Decimal>(), amount);
            prop_assert_eq!(summaries.len(), expected.len());
            for (summary, (customer, (cents, items, products, by_category))) in summaries.iter().zip(expected) {
                let most = *by_category.values().max().unwrap();
                let top = by_category.into_iter().find(|(_, items)| *items == most).unwrap().0;
                prop_assert_eq!(summary.customer_id, CustomerId(customer));
                prop_assert_eq!(summary.cents, cents);
                prop_assert_eq!(summary.total_items, items);
                prop_assert_eq!(usize::try_from(summary.distinct_products).unwrap(), products.len());
                prop_assert_eq!(catalog.category(summary.top_category), top);
            }
        }
    }

    #[test]
    fn a_customer_who_bought_more_than_a_row_holds_is_named() {
        let mut day = Day::default();
        for _ in 0..2 {
            day.add(&row(7, 1, i32::MAX, 1), &catalog());
        }
        day.condense();
        day.add(&row(8, 1, 1, 1), &catalog());
        assert!(day.summaries().unwrap_err().starts_with("customer 7 bought 4294967294 items"));
    }

    #[test]
    fn an_amount_is_exact_or_refused() {
        assert_eq!(cents(Decimal::new(1234, 2)), Some(1234));
        assert_eq!(cents(Decimal::new(12, 0)), Some(1200));
        assert_eq!(cents(Decimal::new(12_340, 3)), Some(1234));
        assert_eq!(cents(Decimal::new(12_345, 3)), None);
        assert_eq!(cents(Decimal::MAX), None);
    }

    #[test]
    fn an_amount_other_than_the_price_says_is_noticed() {
        assert!(!differs_from_price(&row(1, 1, 2, 500), &catalog()));
        assert!(differs_from_price(&row(1, 1, 2, 501), &catalog()));
        assert!(!differs_from_price(&row(1, 99, 2, 501), &catalog()), "unknown price");
    }
}
