//! Transactions → profiles. Pure: no clock, no I/O.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use common::quality::{Catalog, QuarantineEntry, Reasons, judge_customer};
use common::schema::{Customer, CustomerId, CustomerProfile, Transaction};
use foldhash::fast::RandomState;
use rust_decimal::{Decimal, RoundingStrategy};
use smallvec::SmallVec;

use crate::error::{Error, Sums};
use crate::extract::judge_rows;
use crate::slice::{Slice, Whom};

/// Digits behind the point of money.
const SCALE: u32 = 2;

/// Sums by customer. Grows with the customers, not with their transactions.
#[derive(Debug, Default)]
pub struct Tallies {
    by_customer: HashMap<CustomerId, Tally, RandomState>,
    /// Transactions that were judged and accepted.
    accepted: u64,
    /// Σ amount of all accepted transactions in cents, summed apart from the customers' sums.
    accepted_cents: i128,
}

#[derive(Debug)]
struct Tally {
    cents: i128,
    transactions: u32,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    /// Category index → transactions; a customer buys from few, which stand here and not somewhere else in memory.
    categories: SmallVec<[(u32, u32); 8]>,
}

impl Tallies {
    /// Counts a transaction that was judged; one with reasons stays out of the sums.
    pub fn count(&mut self, row: &Transaction, reasons: Reasons, catalog: &Catalog) {
        if !reasons.is_empty() {
            return;
        }
        self.accepted += 1;
        let product = row.product_id.and_then(|id| catalog.product(id));
        let (Some(customer), Some(amount), Some(at), Some(product)) =
            (row.customer_id, row.amount, row.at, product)
        else {
            return;
        };
        let tally = self.by_customer.entry(customer).or_insert_with(|| Tally {
            cents: 0,
            transactions: 0,
            first: at,
            last: at,
            categories: SmallVec::new(),
        });
        let cents = cents(amount);
        tally.cents += cents;
        self.accepted_cents += cents;
        tally.transactions += 1;
        tally.first = tally.first.min(at);
        tally.last = tally.last.max(at);
        match tally.categories.iter_mut().find(|(category, _)| *category == product.category) {
            Some((_, transactions)) => *transactions += 1,
            None => tally.categories.push((product.category, 1)),
        }
    }
}

impl Tally {
    /// The category of most transactions; ties by name, and indexes are in the names' order.
    fn favorite(&self) -> u32 {
        let best =
            self.categories.iter().max_by_key(|(category, count)| (*count, std::cmp::Reverse(*category)));
        best.map_or(0, |(category, _)| *category)
    }
}

/// What is made of a slice, and is going to be written.
#[derive(Debug)]
pub struct Profiled {
    /// Whose profiles are recomputed.
    pub whom: Whom,
    /// Profiles to write, by customer.
    pub profiles: Vec<CustomerProfile>,
    /// Customers whose profile stays unwritten, and stands if it stood, because of their own row; ascending.
    pub withheld: Vec<CustomerId>,
    /// What is to be said of them.
    pub entries: Vec<QuarantineEntry>,
    /// Warning → how often.
    pub warnings: BTreeMap<String, u64>,
    /// The accepted transactions.
    pub accepted: Sums,
    /// Σ `total_spend` of the profiles that stay unwritten.
    pub withheld_amount: Decimal,
}

impl Profiled {
    /// Those who have no accepted transaction any more, of these or of those whose profile is `standing`.
    #[must_use]
    pub fn gone(&self, standing: &[CustomerId]) -> Vec<CustomerId> {
        let bought = |id: &CustomerId| {
            self.withheld.binary_search(id).is_ok()
                || self.profiles.binary_search_by_key(id, |profile| profile.customer_id).is_ok()
        };
        let mut gone: Vec<CustomerId> = match &self.whom {
            Whom::Range(range) => {
                standing.iter().copied().filter(|id| range.contains(*id) && !bought(id)).collect()
            }
            Whom::These(customers) => customers.iter().copied().filter(|id| !bought(id)).collect(),
        };
        gone.sort_unstable();
        gone
    }
}

/// Makes the profiles, and proves that no amount was lost or doubled on the way.
pub fn profiles(slice: Slice, catalog: &Catalog) -> Result<Profiled, Error> {
    let Slice { whom, tallies, customers } = slice;
    let amount = money(tallies.accepted_cents).ok_or(Error::TooMuch)?;
    let accepted = Sums { rows: tallies.accepted, amount };
    let mut tallied: Vec<(CustomerId, Tally)> = tallies.by_customer.into_iter().collect();
    tallied.sort_unstable_by_key(|(id, _)| *id);

    let mut result = Profiled {
        whom,
        profiles: Vec::with_capacity(tallied.len()),
        withheld: Vec::new(),
        entries: Vec::new(),
        warnings: BTreeMap::new(),
        accepted,
        withheld_amount: Decimal::ZERO,
    };
    let mut withheld_rows = 0;
    let mut rows = customers.chunk_by(|left, right| left.customer_id == right.customer_id).peekable();
    for (id, tally) in &tallied {
        while rows.next_if(|rows| rows[0].customer_id < *id).is_some() {}
        let spend = money(tally.cents).ok_or(Error::TooMuch)?;
        match rows.next_if(|rows| rows[0].customer_id == *id) {
            Some(rows) if judge_rows(rows).is_empty() => {
                let (_, warnings) = judge_customer(&rows[0]);
                for warning in warnings {
                    *result.warnings.entry(warning.code().to_owned()).or_default() += 1;
                }
                result.profiles.push(profile(&rows[0], tally, spend, catalog)?);
            }
            // It was there when the transactions were judged.
            None => return Err(Error::Vanished(*id)),
            Some(rows) => {
                result.entries.push(QuarantineEntry::customer(&rows[0], judge_rows(rows)));
                result.withheld.push(*id);
                withheld_rows += u64::from(tally.transactions);
                result.withheld_amount += spend;
            }
        }
    }
    let written = Sums {
        rows: result.profiles.iter().map(|p| u64::from(p.total_transactions.unsigned_abs())).sum::<u64>()
            + withheld_rows,
        amount: result.profiles.iter().map(|p| p.total_spend).sum::<Decimal>() + result.withheld_amount,
    };
    if written != accepted {
        return Err(Error::NotConserved { accepted, written });
    }
    Ok(result)
}

fn profile(
    customer: &Customer,
    tally: &Tally,
    total_spend: Decimal,
    catalog: &Catalog,
) -> Result<CustomerProfile, Error> {
    let total_transactions =
        i32::try_from(tally.transactions).map_err(|_| Error::Overflow(customer.customer_id))?;
    let average = total_spend / Decimal::from(total_transactions);
    Ok(CustomerProfile {
        customer_id: customer.customer_id,
        name: customer.name.clone().unwrap_or_default(),
        email: customer.email.clone().unwrap_or_default(),
        gender: customer.gender.clone().unwrap_or_default(),
        total_spend,
        total_transactions,
        avg_order_value: half_up(average),
        first_purchase: whole_milliseconds(tally.first),
        last_purchase: whole_milliseconds(tally.last),
        favorite_category: catalog.category(tally.favorite()).to_owned(),
    })
}

/// An accepted amount, which has no parts of a cent and is small enough for sums of 2⁶⁴. Sums of whole numbers cost a
/// row less than sums of decimals.
fn cents(amount: Decimal) -> i128 {
    if amount.scale() == SCALE {
        return amount.mantissa();
    }
    let amount = amount.normalize();
    amount.mantissa() * 10_i128.pow(SCALE - amount.scale())
}

/// An exact amount from its cents; `None` beyond what a decimal holds.
fn money(cents: i128) -> Option<Decimal> {
    Decimal::try_from_i128_with_scale(cents, SCALE).ok()
}

/// Scale 2, half up; accepted amounts are positive.
fn half_up(value: Decimal) -> Decimal {
    let mut rounded = value.round_dp_with_strategy(SCALE, RoundingStrategy::MidpointAwayFromZero);
    rounded.rescale(SCALE);
    rounded
}

/// Cassandra's timestamps have milliseconds.
fn whole_milliseconds(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use chrono::NaiveDate;
    use common::quality::{Reason, judge_transaction};
    use common::schema::{Product, ProductId, SignupDate, TxnId};
    use common::source::CustomerRange;

    fn catalog() -> Catalog {
        let product = |id, category: &str| Product {
            product_id: ProductId(id),
            category: Some(category.to_owned()),
            price: None,
        };
        let customers = HashSet::from([CustomerId(1), CustomerId(2)]);
        let products = vec![product(1, "Toys"), product(2, "Books"), product(3, "Home")];
        Catalog::new(customers, products, HashSet::new())
    }

    fn profiled(slice: Slice) -> Result<Profiled, Error> {
        profiles(slice, &catalog())
    }

    fn bought(customer: i32, product: i32, cents: i64, second: i64) -> Transaction {
        Transaction {
            txn_id: TxnId(second.cast_unsigned()),
            customer_id: Some(CustomerId(customer)),
            product_id: Some(ProductId(product)),
            qty: Some(1),
            amount: Some(Decimal::new(cents, 2)),
            at: DateTime::from_timestamp(second, 0),
        }
    }

    fn customer(id: i32) -> Customer {
        Customer {
            customer_id: CustomerId(id),
            name: Some(format!("Customer_{id}")),
            email: Some(format!("customer_{id}@example.com")),
            gender: Some("F".to_owned()),
            signup_date: SignupDate::Date(NaiveDate::MIN),
        }
    }

    fn slice(rows: &[Transaction], customers: Vec<Customer>) -> Slice {
        let catalog = catalog();
        let mut tallies = Tallies::default();
        for row in rows {
            tallies.count(row, judge_transaction(row, &catalog), &catalog);
        }
        let whom = Whom::These([CustomerId(1), CustomerId(2)].into_iter().collect());
        Slice { whom, tallies, customers }
    }

    #[test]
    fn a_profile_sums_counts_and_finds_the_first_the_last_and_the_favourite() {
        let rows =
            [bought(1, 1, 1_000, 50), bought(1, 2, 2_001, 10), bought(1, 2, 1, 90), bought(1, 1, 3, 60)];
        let result = profiled(slice(&rows, vec![customer(1), customer(2)])).unwrap();
        let [profile] = result.profiles.as_slice() else { panic!("{:?}", result.profiles) };
        assert_eq!((profile.total_spend, profile.total_transactions), (Decimal::new(3_005, 2), 4));
        assert_eq!((profile.first_purchase.timestamp(), profile.last_purchase.timestamp()), (10, 90));
        assert_eq!(profile.favorite_category, "Books", "two each: the first by name");
        assert_eq!(result.gone(&[]), [CustomerId(2)], "affected, and nothing accepted any more");
    }

    #[test]
    fn an_average_is_rounded_half_up_to_cents() {
        for (cents, average) in [([1, 2], "0.02"), ([1, 1], "0.01"), ([5, 10], "0.08"), ([100, 200], "1.50")]
        {
            let rows = [bought(1, 1, cents[0], 1), bought(1, 1, cents[1], 2)];
            let result = profiled(slice(&rows, vec![customer(1)])).unwrap();
            assert_eq!(result.profiles[0].avg_order_value.to_string(), average, "{cents:?}");
        }
    }

    #[test]
    fn a_customer_whose_own_row_is_rejected_is_withheld_and_the_sums_still_agree() {
        let rows = [bought(1, 1, 700, 1), bought(2, 1, 300, 2)];
        let bad = Customer { email: None, gender: Some("X".to_owned()), ..customer(2) };
        let result = profiled(slice(&rows, vec![customer(1), bad])).unwrap();
        assert_eq!(result.profiles.len(), 1);
        assert_eq!(
            (result.accepted.amount, result.withheld_amount),
            (Decimal::new(1_000, 2), Decimal::new(300, 2))
        );
        assert!(result.gone(&[]).is_empty(), "what stands keeps standing");
        let reasons: Vec<_> = result.entries[0].reasons.iter().collect();
        assert_eq!(reasons, [Reason::InvalidEmail, Reason::InvalidGender]);
    }

    #[test]
    fn two_rows_of_one_customer_are_ambiguous() {
        let rows = [bought(1, 1, 700, 1)];
        let result = profiled(slice(&rows, vec![customer(1), customer(1)])).unwrap();
        assert!(result.profiles.is_empty());
        assert!(result.entries[0].reasons.contains(Reason::DuplicateId));
    }

    #[test]
    fn an_amount_is_counted_in_cents() {
        for (amount, expected) in [("12.34", 1234), ("12", 1200), ("12.340", 1234)] {
            assert_eq!(cents(amount.parse().unwrap()), expected, "{amount}");
        }
        assert_eq!(money(1234).unwrap().to_string(), "12.34");
    }

    #[test]
    fn in_a_slice_of_all_only_its_own_customers_can_be_gone() {
        let range = CustomerRange { after: Some(CustomerId(0)), until: Some(CustomerId(5)) };
        let slice = Slice { whom: Whom::Range(range), ..slice(&[bought(1, 1, 1, 1)], vec![customer(1)]) };
        let standing = [CustomerId(9), CustomerId(4), CustomerId(1), CustomerId(0)];
        assert_eq!(profiled(slice).unwrap().gone(&standing), [CustomerId(4)]);
    }

    #[test]
    fn a_customer_whose_row_vanishes_meanwhile_is_not_passed_over() {
        let result = profiled(slice(&[bought(1, 1, 1, 1), bought(2, 1, 1, 2)], vec![customer(1)]));
        assert!(matches!(result, Err(Error::Vanished(CustomerId(2)))));
    }

    #[test]
    fn an_amount_that_gets_lost_on_the_way_refuses_the_batch() {
        let mut lossy = slice(&[bought(1, 1, 700, 1), bought(2, 1, 300, 2)], vec![customer(1), customer(2)]);
        lossy.tallies.by_customer.remove(&CustomerId(2));
        assert!(matches!(profiled(lossy), Err(Error::NotConserved { .. })));
    }
}
