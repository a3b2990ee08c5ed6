//! The checks of a transaction.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use rust_decimal::Decimal;

use super::{Reason, Reasons};
use crate::schema::{CustomerId, Product, ProductId, Transaction, TxnId};

/// What a transaction may refer to.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    // Each row asks both, so their hashes count.
    customers: HashSet<CustomerId, RandomState>,
    products: HashMap<ProductId, CatalogProduct, RandomState>,
    categories: Vec<String>,
    duplicate_transactions: HashSet<TxnId>,
}

/// A product as transactions need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogProduct {
    /// Index of its category in [`Catalog::category`].
    pub category: u32,
    /// Its price today.
    pub price: Option<Decimal>,
}

impl Catalog {
    /// Puts together the customers that exist, the products, and the transaction ids that are not unique.
    ///
    /// A product without a category counts under the empty name.
    #[must_use]
    pub fn new(
        customers: HashSet<CustomerId>,
        products: Vec<Product>,
        duplicate_transactions: HashSet<TxnId>,
    ) -> Self {
        let customers = customers.into_iter().collect();
        let mut catalog = Self { customers, duplicate_transactions, ..Self::default() };
        let mut names: Vec<String> =
            products.iter().map(|p| p.category.clone().unwrap_or_default()).collect();
        names.sort_unstable();
        names.dedup();
        for product in products {
            let name = product.category.unwrap_or_default();
            let index = names.binary_search(&name).expect("every product's category is among the names");
            let category = u32::try_from(index).expect("there are fewer categories than products");
            catalog.products.insert(product.product_id, CatalogProduct { category, price: product.price });
        }
        catalog.categories = names;
        catalog
    }

    /// A product, if it exists.
    #[must_use]
    pub fn product(&self, id: ProductId) -> Option<&CatalogProduct> {
        self.products.get(&id)
    }

    /// The customers that exist, in no particular order.
    pub fn customers(&self) -> impl Iterator<Item = CustomerId> {
        self.customers.iter().copied()
    }

    /// Transaction ids that several rows have.
    #[must_use]
    pub fn duplicate_transactions(&self) -> &HashSet<TxnId> {
        &self.duplicate_transactions
    }

    /// A category's name by its index. Indexes are in the order of the names.
    #[must_use]
    pub fn category(&self, index: u32) -> &str {
        &self.categories[index as usize]
    }
}

/// All reasons for which a transaction is not accepted.
#[must_use]
pub fn judge_transaction(row: &Transaction, catalog: &Catalog) -> Reasons {
    let mut reasons = Reasons::default();
    reasons.note(Reason::DuplicateId, catalog.duplicate_transactions.contains(&row.txn_id));
    reasons.note(Reason::UnknownCustomer, row.customer_id.is_none_or(|id| !catalog.customers.contains(&id)));
    reasons.note(Reason::UnknownProduct, row.product_id.is_none_or(|id| catalog.product(id).is_none()));
    reasons.note(Reason::NonPositiveQty, row.qty.is_none_or(|qty| qty <= 0));
    reasons.note(Reason::NonPositiveAmount, !row.amount.is_some_and(is_money));
    reasons.note(Reason::InvalidTimestamp, row.at.is_none());
    reasons
}

/// 10¹⁶, in cents: more than anything costs, and little enough that sums of it do not overflow.
const MOST_MONEY: Decimal = Decimal::from_parts(2_808_348_672, 232_830_643, 0, false, 2);

/// Positive, with cents at most, and not beyond [`MOST_MONEY`]; a source's columns may hold anything.
fn is_money(amount: Decimal) -> bool {
    amount > Decimal::ZERO && amount <= MOST_MONEY && (amount.scale() <= 2 || amount.normalize().scale() <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn catalog() -> Catalog {
        let product = |id, category: Option<&str>| Product {
            product_id: ProductId(id),
            category: category.map(Into::into),
            price: None,
        };
        Catalog::new(
            HashSet::from([CustomerId(1)]),
            vec![product(1, Some("Toys")), product(2, Some("Books")), product(3, None)],
            HashSet::from([TxnId(9)]),
        )
    }

    fn good() -> Transaction {
        Transaction {
            txn_id: TxnId(1),
            customer_id: Some(CustomerId(1)),
            product_id: Some(ProductId(1)),
            qty: Some(1),
            amount: Some(Decimal::new(1, 2)),
            at: Some(DateTime::UNIX_EPOCH),
        }
    }

    #[test]
    fn each_broken_promise_is_a_reason() {
        let cases: [(&str, Transaction, Vec<Reason>); 16] = [
            ("good", good(), vec![]),
            ("duplicate", Transaction { txn_id: TxnId(9), ..good() }, vec![Reason::DuplicateId]),
            ("null customer", Transaction { customer_id: None, ..good() }, vec![Reason::UnknownCustomer]),
            (
                "unknown customer",
                Transaction { customer_id: Some(CustomerId(2)), ..good() },
                vec![Reason::UnknownCustomer],
            ),
            ("null product", Transaction { product_id: None, ..good() }, vec![Reason::UnknownProduct]),
            (
                "unknown product",
                Transaction { product_id: Some(ProductId(4)), ..good() },
                vec![Reason::UnknownProduct],
            ),
            ("null qty", Transaction { qty: None, ..good() }, vec![Reason::NonPositiveQty]),
            ("zero qty", Transaction { qty: Some(0), ..good() }, vec![Reason::NonPositiveQty]),
            ("null amount", Transaction { amount: None, ..good() }, vec![Reason::NonPositiveAmount]),
            (
                "zero amount",
                Transaction { amount: Some(Decimal::ZERO), ..good() },
                vec![Reason::NonPositiveAmount],
            ),
            (
                "negative amount",
                Transaction { amount: Some(Decimal::new(-1, 2)), ..good() },
                vec![Reason::NonPositiveAmount],
            ),
            (
                "parts of a cent",
                Transaction { amount: Some(Decimal::new(12_345, 3)), ..good() },
                vec![Reason::NonPositiveAmount],
            ),
            ("the most", Transaction { amount: Some(Decimal::new(10_i64.pow(16), 0)), ..good() }, vec![]),
            (
                "more than anything costs",
                Transaction { amount: Some(Decimal::new(10_i64.pow(18) + 1, 2)), ..good() },
                vec![Reason::NonPositiveAmount],
            ),
            ("no time", Transaction { at: None, ..good() }, vec![Reason::InvalidTimestamp]),
            (
                "everything",
                Transaction {
                    txn_id: TxnId(9),
                    customer_id: None,
                    product_id: None,
                    qty: Some(-1),
                    amount: None,
                    at: None,
                },
                vec![
                    Reason::DuplicateId,
                    Reason::UnknownCustomer,
                    Reason::UnknownProduct,
                    Reason::NonPositiveQty,
                    Reason::NonPositiveAmount,
                    Reason::InvalidTimestamp,
                ],
            ),
        ];
        for (name, row, expected) in cases {
            assert_eq!(judge_transaction(&row, &catalog()).iter().collect::<Vec<_>>(), expected, "{name}");
        }
    }

    #[test]
    fn category_indexes_are_in_the_order_of_names() {
        let catalog = catalog();
        let category = |id| catalog.category(catalog.product(ProductId(id)).unwrap().category).to_owned();
        assert_eq!((category(1), category(2), category(3)), ("Toys".into(), "Books".into(), String::new()));
        assert!(
            catalog.product(ProductId(3)).unwrap().category < catalog.product(ProductId(2)).unwrap().category
        );
    }
}
