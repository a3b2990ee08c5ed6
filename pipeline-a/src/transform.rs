//! Transactions → profiles. Pure: no clock, no I/O.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use common::increment::Increment;
use common::quality::{Catalog, QuarantineEntry, Reasons, judge_customer};
use common::schema::{Customer, CustomerId, CustomerProfile, Transaction};
use common::source::QuarantinedKey;
use foldhash::fast::RandomState;
use rust_decimal::{Decimal, RoundingStrategy};
use smallvec::SmallVec;

use crate::error::{Error, Sums};
use crate::extract::{Extracted, judge_rows};

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
    /// A customer whose sum is beyond what a decimal holds.
    overflow: Option<CustomerId>,
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
        let sums = cents(amount).and_then(|cents| {
            Some((tally.cents.checked_add(cents)?, self.accepted_cents.checked_add(cents)?))
        });
        match sums {
            Some(sums) => (tally.cents, self.accepted_cents) = sums,
            // Noted here and refused later, so that counting stays a plain loop.
            None => self.overflow = Some(customer),
        }
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

/// What a batch is going to write.
#[derive(Debug, Default)]
pub struct Profiled {
    /// Profiles to write, by customer.
    pub profiles: Vec<CustomerProfile>,
    /// Customers that have no accepted transaction any more.
    pub gone: Vec<CustomerId>,
    /// Every customer was recomputed: who has a profile, but no accepted transaction, is gone too.
    pub everyone: bool,
    /// Customers whose profile stays unwritten, and stands if it stood, because of their own row.
    pub withheld: HashSet<CustomerId>,
    /// Every row that is not accepted.
    pub entries: Vec<QuarantineEntry>,
    /// Keys that leave quarantine.
    pub corrected: HashSet<QuarantinedKey>,
    /// Warning → how often.
    pub warnings: BTreeMap<String, u64>,
    /// Rows read.
    pub rows: u64,
    /// Rows that no earlier run accounted for.
    pub new_rows: u64,
    /// The accepted transactions of the affected customers.
    pub accepted_rows: u64,
    /// Σ amount of the accepted transactions of the affected customers.
    pub accepted_amount: Decimal,
    /// Σ `total_spend` of profiles that stay unwritten because the customer's own row is not accepted.
    pub withheld_amount: Decimal,
}

impl Profiled {
    /// Whether the batch has nothing new to say.
    #[must_use]
    pub fn changes_nothing(&self, increment: &Increment) -> bool {
        let news = self.entries.iter().any(|entry| increment.is_news(entry));
        self.new_rows == 0 && !self.writes_profiles() && self.corrected.is_empty() && !news
    }

    /// Whether the profile store is needed.
    #[must_use]
    pub fn writes_profiles(&self) -> bool {
        !self.profiles.is_empty() || !self.gone.is_empty() || self.everyone
    }
}

/// Makes the profiles, and proves that no amount was lost or doubled on the way.
pub fn profiles(extracted: Extracted) -> Result<Profiled, Error> {
    let Extracted { examined, tallies, affected, customers, catalog, .. } = extracted;
    let mut result = Profiled {
        corrected: examined.corrected_for_good(),
        new_rows: examined.new_rows,
        entries: examined.into_entries(),
        rows: extracted.rows,
        ..Profiled::default()
    };
    if let Some(customer) = tallies.overflow {
        return Err(Error::Overflow(customer));
    }
    let rows_by_id = by_id(customers);
    let mut tallied: Vec<(&CustomerId, &Tally)> = tallies.by_customer.iter().collect();
    tallied.sort_unstable_by_key(|(id, _)| **id);
    for (id, tally) in tallied {
        if let Some(customer) = accepted_customer(*id, &rows_by_id, &mut result) {
            result.profiles.push(profile(customer, tally, &catalog)?);
        } else {
            result.withheld_amount += money(tally.cents).ok_or(Error::Overflow(*id))?;
            result.withheld.insert(*id);
        }
    }
    result.accepted_amount = money(tallies.accepted_cents).ok_or(Error::TooMuch)?;
    let without_purchase = |id: &&CustomerId| !tallies.by_customer.contains_key(id);
    result.everyone = affected.is_none();
    result.gone = affected.iter().flatten().filter(without_purchase).copied().collect();

    let noted: HashSet<QuarantinedKey> =
        result.entries.iter().map(|entry| (entry.entity, entry.id)).collect();
    let still_bad = extracted.still_bad.into_iter();
    result.entries.extend(still_bad.filter(|entry| !noted.contains(&(entry.entity, entry.id))));
    result.entries.extend(extracted.without_key);
    let still_bad: HashSet<QuarantinedKey> =
        result.entries.iter().map(|entry| (entry.entity, entry.id)).collect();
    result.corrected.extend(extracted.customers_judged.into_iter().filter(|key| !still_bad.contains(key)));

    result.accepted_rows = tallies.accepted;
    let accepted = Sums { rows: tallies.accepted, amount: result.accepted_amount };
    let written = Sums {
        rows: tallies.by_customer.values().map(|tally| u64::from(tally.transactions)).sum(),
        amount: result.profiles.iter().map(|profile| profile.total_spend).sum::<Decimal>()
            + result.withheld_amount,
    };
    if written != accepted {
        return Err(Error::NotConserved { accepted, written });
    }
    Ok(result)
}

fn by_id(customers: Vec<Customer>) -> HashMap<CustomerId, Vec<Customer>> {
    let mut rows: HashMap<CustomerId, Vec<Customer>> = HashMap::with_capacity(customers.len());
    for row in customers {
        rows.entry(row.customer_id).or_default().push(row);
    }
    rows
}

/// The customer's row if it is the only one and passes its checks; otherwise it is noted in `result`.
fn accepted_customer<'a>(
    id: CustomerId,
    rows: &'a HashMap<CustomerId, Vec<Customer>>,
    result: &mut Profiled,
) -> Option<&'a Customer> {
    let rows = rows.get(&id).map(Vec::as_slice).unwrap_or_default();
    let customer = rows.first()?;
    let reasons = judge_rows(rows);
    if !reasons.is_empty() {
        result.entries.push(QuarantineEntry::customer(customer, reasons));
        return None;
    }
    for warning in judge_customer(customer).1 {
        *result.warnings.entry(warning.code().to_owned()).or_default() += 1;
    }
    Some(customer)
}

fn profile(customer: &Customer, tally: &Tally, catalog: &Catalog) -> Result<CustomerProfile, Error> {
    let overflow = || Error::Overflow(customer.customer_id);
    let total_transactions = i32::try_from(tally.transactions).map_err(|_| overflow())?;
    let total_spend = money(tally.cents).ok_or_else(overflow)?;
    let average = total_spend.checked_div(total_transactions.into()).ok_or_else(overflow)?;
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

/// An accepted amount, which has no parts of a cent. Sums of whole numbers cost a row less than sums of decimals.
fn cents(amount: Decimal) -> Option<i128> {
    if amount.scale() == SCALE {
        return Some(amount.mantissa());
    }
    let amount = amount.normalize();
    amount.mantissa().checked_mul(10_i128.pow(SCALE.checked_sub(amount.scale())?))
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
    use super::*;
    use chrono::NaiveDate;
    use common::examine::Examined;
    use common::quality::{Reason, judge_transaction};
    use common::schema::{Product, ProductId, SignupDate, TxnId};

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

    fn extracted(rows: &[Transaction], customers: Vec<Customer>) -> Extracted {
        let catalog = catalog();
        let mut tallies = Tallies::default();
        for row in rows {
            tallies.count(row, judge_transaction(row, &catalog), &catalog);
        }
        Extracted {
            still_bad: Vec::new(),
            examined: Examined::default(),
            tallies,
            affected: Some(HashSet::from([CustomerId(1), CustomerId(2)])),
            customers,
            catalog,
            customers_judged: HashSet::new(),
            without_key: None,
            rows: rows.len() as u64,
        }
    }

    #[test]
    fn a_profile_sums_counts_and_finds_the_first_the_last_and_the_favourite() {
        let rows =
            [bought(1, 1, 1_000, 50), bought(1, 2, 2_001, 10), bought(1, 2, 1, 90), bought(1, 1, 3, 60)];
        let result = profiles(extracted(&rows, vec![customer(1), customer(2)])).unwrap();
        let [profile] = result.profiles.as_slice() else { panic!("{:?}", result.profiles) };
        assert_eq!((profile.total_spend, profile.total_transactions), (Decimal::new(3_005, 2), 4));
        assert_eq!((profile.first_purchase.timestamp(), profile.last_purchase.timestamp()), (10, 90));
        assert_eq!(profile.favorite_category, "Books", "two each: the first by name");
        assert_eq!(result.gone, [CustomerId(2)], "affected, and nothing accepted any more");
    }

    #[test]
    fn an_average_is_rounded_half_up_to_cents() {
        for (cents, average) in [([1, 2], "0.02"), ([1, 1], "0.01"), ([5, 10], "0.08"), ([100, 200], "1.50")]
        {
            let rows = [bought(1, 1, cents[0], 1), bought(1, 1, cents[1], 2)];
            let result = profiles(extracted(&rows, vec![customer(1)])).unwrap();
            assert_eq!(result.profiles[0].avg_order_value.to_string(), average, "{cents:?}");
        }
    }

    #[test]
    fn a_customer_whose_own_row_is_rejected_is_withheld_and_the_sums_still_agree() {
        let rows = [bought(1, 1, 700, 1), bought(2, 1, 300, 2)];
        let bad = Customer { email: None, gender: Some("X".to_owned()), ..customer(2) };
        let result = profiles(extracted(&rows, vec![customer(1), bad])).unwrap();
        assert_eq!(result.profiles.len(), 1);
        assert_eq!(
            (result.accepted_amount, result.withheld_amount),
            (Decimal::new(1_000, 2), Decimal::new(300, 2))
        );
        let reasons: Vec<_> = result.entries[0].reasons.iter().collect();
        assert_eq!(reasons, [Reason::InvalidEmail, Reason::InvalidGender]);
    }

    #[test]
    fn two_rows_of_one_customer_are_ambiguous() {
        let rows = [bought(1, 1, 700, 1)];
        let result = profiles(extracted(&rows, vec![customer(1), customer(1)])).unwrap();
        assert!(result.profiles.is_empty());
        assert!(result.entries[0].reasons.contains(Reason::DuplicateId));
    }

    #[test]
    fn an_amount_is_whole_cents_or_refused() {
        for (amount, expected) in
            [("12.34", Some(1234)), ("12", Some(1200)), ("12.340", Some(1234)), ("0.125", None)]
        {
            assert_eq!(cents(amount.parse().unwrap()), expected, "{amount}");
        }
        assert_eq!(money(1234).unwrap().to_string(), "12.34");
    }

    #[test]
    fn a_sum_beyond_a_decimal_is_an_error_not_a_panic() {
        let huge = |second| Transaction { amount: Some(Decimal::MAX), ..bought(1, 1, 1, second) };
        let result = profiles(extracted(&[huge(1), huge(2)], vec![customer(1)]));
        assert!(matches!(result, Err(Error::Overflow(CustomerId(1)))));
    }

    #[test]
    fn an_amount_that_gets_lost_on_the_way_refuses_the_batch() {
        let mut lossy =
            extracted(&[bought(1, 1, 700, 1), bought(2, 1, 300, 2)], vec![customer(1), customer(2)]);
        lossy.tallies.by_customer.remove(&CustomerId(2));
        assert!(matches!(profiles(lossy), Err(Error::NotConserved { .. })));
    }
}
