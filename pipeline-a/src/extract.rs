//! Reads what has happened, and everything that the affected customers ever bought.

use std::collections::HashSet;

use common::batch::BatchError;
use common::examine::{Examined, examine, read_catalog};
use common::increment::Increment;
use common::quality::{Catalog, Entity, QuarantineEntry, Reason, Reasons, judge_customer, judge_transaction};
use common::schema::{Customer, CustomerId, Transaction, TxnId};
use common::settings::IncrementArgs;
use common::source::{Part, QuarantinedKey, Source, SourceError, SourceKeys};

use crate::transform::Tallies;

/// Where more than one in this many rows is an affected customer's, a scan is cheaper than looking them up. Measured:
/// a row costs the server 2.5 µs by the index on `customer_id` and 0.25 µs in a scan.
const SCAN_IF_ONE_IN: u64 = 10;

/// What a batch has read.
#[derive(Debug)]
pub struct Extracted {
    /// The increment's rows, judged, and what the recomputation found to reject besides.
    pub examined: Examined,
    /// Sums by affected customer, of everything they bought.
    pub tallies: Tallies,
    /// Customers whose profile is recomputed; `None` for all.
    pub affected: Option<HashSet<CustomerId>>,
    /// Every row of the affected customers.
    pub customers: Vec<Customer>,
    /// What transactions refer to.
    pub catalog: Catalog,
    /// Customers in quarantine whose rows are still not accepted.
    pub still_bad: Vec<QuarantineEntry>,
    /// Customers in quarantine that this batch judges again: they leave it, unless they are rejected once more.
    pub customers_judged: HashSet<QuarantinedKey>,
    /// The rows of `customers` without a key, if any.
    pub without_key: Option<QuarantineEntry>,
    /// Rows read in all.
    pub rows: u64,
}

/// Reads the increment, and all that the customers it affects and those `asked` for ever bought. For a first run
/// that is the whole table, and one pass does it.
pub async fn read(
    source: &Source,
    keys: SourceKeys,
    increment: &mut Increment,
    asked: HashSet<CustomerId>,
    settings: &IncrementArgs,
) -> Result<Extracted, BatchError> {
    let catalog = read_catalog(source, keys).await?;
    let mut customers_judged: HashSet<QuarantinedKey> =
        increment.quarantined.keys().filter(|(entity, _)| *entity == Entity::Customer).copied().collect();
    let everything = increment.everything;
    let mut tallies = Tallies::default();
    let mut affected = asked;
    let judge = |row: &Transaction| judge_transaction(row, &catalog);
    let mut examined = examine(source, increment, &catalog, settings, judge, |row, verdict| {
        if everything {
            tallies.count(row, verdict.reasons, &catalog);
        } else if verdict.affects() {
            affected.extend(row.customer_id);
        }
    })
    .await?;

    let (mut rows, mut still_bad) = (examined.rows, Vec::new());
    let customers = if everything {
        source.all_customers().await?
    } else {
        still_bad = drop_still_bad(source, &mut customers_judged).await?;
        affected.extend(customers_judged.iter().filter_map(customer_id));
        let scope = (keys, increment.highest);
        rows += recompute(source, scope, &affected, &catalog, settings, &mut examined, &mut tallies).await?;
        source.customers_by_id(&sorted(&affected)).await?
    };
    let nulls = if keys.customer_ids_are_keys { 0 } else { source.customers_without_key().await? };
    Ok(Extracted {
        examined,
        tallies,
        affected: (!everything).then_some(affected),
        customers,
        catalog,
        still_bad,
        customers_judged,
        without_key: (nulls > 0).then(|| QuarantineEntry::null_keys(Entity::Customer, nulls)),
        rows,
    })
}

/// The parts that bring everything these customers ever bought, and perhaps rows of others.
async fn parts_of(
    source: &Source,
    keys: SourceKeys,
    customers: &[CustomerId],
    last: TxnId,
    settings: &IncrementArgs,
) -> Result<Vec<Part>, SourceError> {
    if !keys.buyers_are_indexed || source.have_more_than(customers, last.0 / SCAN_IF_ONE_IN).await? {
        return Ok(Part::scan(customers, last, settings.read_partitions));
    }
    Ok(Part::customers(customers, last))
}

/// Sums up everything that the affected customers ever bought, up to the last id; returns the rows read.
pub async fn recompute(
    source: &Source,
    (keys, last): (SourceKeys, TxnId),
    affected: &HashSet<CustomerId>,
    catalog: &Catalog,
    settings: &IncrementArgs,
    examined: &mut Examined,
    tallies: &mut Tallies,
) -> Result<u64, SourceError> {
    if affected.is_empty() {
        return Ok(0);
    }
    let parts = parts_of(source, keys, &sorted(affected), last, settings).await?;
    let mut reader = source.read(parts, settings.read_connections);
    let mut rows = 0;
    while let Some(batch) = reader.next().await? {
        rows += batch.rows.len() as u64;
        for row in batch.rows.iter().filter(|row| row.customer_id.is_some_and(|id| affected.contains(&id))) {
            let reasons = judge_transaction(row, catalog);
            examined.met(row, reasons);
            tallies.count(row, reasons, catalog);
        }
    }
    Ok(rows)
}

/// Leaves the quarantined customers whose row is fine now, or gone; returns what is to be said of the others.
pub async fn drop_still_bad(
    source: &Source,
    quarantined: &mut HashSet<QuarantinedKey>,
) -> Result<Vec<QuarantineEntry>, SourceError> {
    let ids: HashSet<CustomerId> = quarantined.iter().filter_map(customer_id).collect();
    let mut rows = source.customers_by_id(&sorted(&ids)).await?;
    rows.sort_by_key(|row| row.customer_id);
    let mut bad = Vec::new();
    for same_id in rows.chunk_by(|left, right| left.customer_id == right.customer_id) {
        let reasons = judge_rows(same_id);
        if !reasons.is_empty() {
            quarantined.remove(&(Entity::Customer, Some(same_id[0].customer_id.0.into())));
            bad.push(QuarantineEntry::customer(&same_id[0], reasons));
        }
    }
    Ok(bad)
}

/// All reasons for which the rows of one customer are not accepted.
pub fn judge_rows(rows: &[Customer]) -> Reasons {
    let mut reasons: Reasons = rows.iter().flat_map(|row| judge_customer(row).0.iter()).collect();
    reasons.note(Reason::DuplicateId, rows.len() > 1);
    reasons
}

/// The customer that a key is of.
pub fn customer_id((_, id): &QuarantinedKey) -> Option<CustomerId> {
    id.and_then(|id| i32::try_from(id).ok()).map(CustomerId)
}

/// In the order of a query's list.
pub fn sorted(ids: &HashSet<CustomerId>) -> Vec<CustomerId> {
    let mut ids: Vec<CustomerId> = ids.iter().copied().collect();
    ids.sort_unstable();
    ids
}
