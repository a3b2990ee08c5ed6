//! Transactions → profiles. Pure: no clock, no I/O.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use common::quality::{Catalog, QuarantineEntry, Reason, Reasons, judge_customer};
use common::schema::{Customer, CustomerId, CustomerProfile, Transaction};
use common::source::QuarantinedKey;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::error::Error;
use crate::extract::Extracted;

/// Digits behind the point of money.
const SCALE: u32 = 2;

/// Sums by customer. Grows with the customers, not with their transactions.
#[derive(Debug, Default)]
pub struct Tallies {
    by_customer: HashMap<CustomerId, Tally>,
    /// Σ amount of all accepted transactions, summed apart from the customers' sums.
    accepted_amount: Decimal,
    /// A customer whose sum is beyond what a decimal holds.
    overflow: Option<CustomerId>,
}

#[derive(Debug)]
struct Tally {
    spend: Decimal,
    transactions: u32,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    /// Category index → transactions; a customer buys from few.
    categories: Vec<(u32, u32)>,
}

impl Tallies {
    /// Counts a transaction that was judged; one with reasons stays out of the sums.
    pub fn count(&mut self, row: &Transaction, reasons: Reasons, catalog: &Catalog) {
        let (Some(customer), Some(amount), Some(at)) = (row.customer_id, row.amount, row.at) else {
            return;
        };
        let product = row.product_id.and_then(|id| catalog.product(id));
        let (true, Some(product)) = (reasons.is_empty(), product) else {
            return;
        };
        let tally = self.by_customer.entry(customer).or_insert_with(|| Tally {
            spend: Decimal::ZERO,
            transactions: 0,
            first: at,
            last: at,
            categories: Vec::new(),
        });
        match (tally.spend.checked_add(amount), self.accepted_amount.checked_add(amount)) {
            (Some(spend), Some(accepted)) => (tally.spend, self.accepted_amount) = (spend, accepted),
            // Noted here and refused later, so that counting stays a plain loop.
            _ => self.overflow = Some(customer),
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
    /// Σ amount of the accepted transactions of the affected customers.
    pub accepted_amount: Decimal,
    /// Σ `total_spend` of profiles that stay unwritten because the customer's own row is not accepted.
    pub withheld_amount: Decimal,
}

impl Profiled {
    /// Whether the batch has nothing new to say.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        self.new_rows == 0 && !self.writes_profiles() && self.corrected.is_empty()
    }

    /// Whether the profile store is needed.
    #[must_use]
    pub fn writes_profiles(&self) -> bool {
        !self.profiles.is_empty() || !self.gone.is_empty()
    }
}

/// Makes the profiles, and proves that no amount was lost or doubled on the way.
pub fn profiles(extracted: Extracted) -> Result<Profiled, Error> {
    let Extracted { examined, tallies, affected, customers, catalog, .. } = extracted;
    let mut result = Profiled {
        entries: examined.entries(),
        corrected: examined.corrected,
        rows: extracted.rows,
        new_rows: examined.new_rows,
        accepted_amount: tallies.accepted_amount,
        ..Profiled::default()
    };
    if let Some(customer) = tallies.overflow {
        return Err(Error::Overflow(customer));
    }
    let rows_by_id = by_id(customers);
    let mut tallied: Vec<(&CustomerId, &Tally)> = tallies.by_customer.iter().collect();
    tallied.sort_unstable_by_key(|(id, _)| **id);
    for (id, tally) in tallied {
        match accepted_customer(*id, &rows_by_id, &mut result) {
            Some(customer) => result.profiles.push(profile(customer, tally, &catalog)?),
            None => result.withheld_amount += tally.spend,
        }
    }
    let without_purchase = |id: &&CustomerId| !tallies.by_customer.contains_key(id);
    result.gone = affected.iter().flatten().filter(without_purchase).copied().collect();

    result.entries.extend(extracted.without_key);
    let still_bad: HashSet<QuarantinedKey> =
        result.entries.iter().map(|entry| (entry.entity, entry.id)).collect();
    result.corrected.extend(extracted.customers_judged.into_iter().filter(|key| !still_bad.contains(key)));

    let written =
        result.profiles.iter().map(|profile| profile.total_spend).sum::<Decimal>() + result.withheld_amount;
    if written != result.accepted_amount {
        return Err(Error::NotConserved { accepted: result.accepted_amount, written });
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
    let (mut reasons, warnings) = judge_customer(customer);
    reasons.note(Reason::DuplicateId, rows.len() > 1);
    if !reasons.is_empty() {
        result.entries.push(QuarantineEntry::customer(customer, reasons));
        return None;
    }
    for warning in warnings {
        *result.warnings.entry(warning.code().to_owned()).or_default() += 1;
    }
    Some(customer)
}

fn profile(customer: &Customer, tally: &Tally, catalog: &Catalog) -> Result<CustomerProfile, Error> {
    let overflow = || Error::Overflow(customer.customer_id);
    let total_transactions = i32::try_from(tally.transactions).map_err(|_| overflow())?;
    let average = tally.spend.checked_div(total_transactions.into()).ok_or_else(overflow)?;
    Ok(CustomerProfile {
        customer_id: customer.customer_id,
        name: customer.name.clone().unwrap_or_default(),
        email: customer.email.clone().unwrap_or_default(),
        gender: customer.gender.clone().unwrap_or_default(),
        total_spend: money(tally.spend),
        total_transactions,
        avg_order_value: money(average),
        first_purchase: whole_milliseconds(tally.first),
        last_purchase: whole_milliseconds(tally.last),
        favorite_category: catalog.category(tally.favorite()).to_owned(),
    })
}

/// Scale 2, half up; accepted amounts are positive.
fn money(value: Decimal) -> Decimal {
    let mut rounded = value.round_dp_with_strategy(SCALE, RoundingStrategy::MidpointAwayFromZero);
    rounded.rescale(SCALE);
    rounded
}

/// Cassandra's timestamps have milliseconds.
fn whole_milliseconds(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at)
}
