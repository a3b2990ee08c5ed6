//! Reads what has happened, and slice by slice everything that the affected customers ever bought.

use std::collections::{HashSet, VecDeque};

use common::batch::BatchError;
use common::examine::{Examined, Look, examine, read_catalog};
use common::increment::Increment;
use common::quality::{Catalog, Entity, QuarantineEntry, Reason, Reasons, judge_customer, judge_transaction};
use common::schema::{Customer, CustomerId, Transaction};
use common::source::{QuarantinedKey, Source, SourceError, SourceKeys};

use crate::config::Config;
use crate::slice::{Recomputation, Slice, Whom, customers_that_fit, sorted};
use crate::transform::Tallies;

/// What a batch has read, and what it still has to read.
#[derive(Debug, Default)]
pub struct Extracted {
    /// The increment's rows, judged, and what the recomputation found to reject besides.
    pub examined: Examined,
    /// What transactions refer to.
    pub catalog: Catalog,
    /// Customers in quarantine whose rows are still not accepted.
    pub still_bad: Vec<QuarantineEntry>,
    /// Customers in quarantine whose rows are fine now, or gone: they leave it, unless they are rejected once more.
    pub no_longer_bad: HashSet<QuarantinedKey>,
    /// The rows of `customers` without a key, if any.
    pub without_key: Option<QuarantineEntry>,
    /// Rows read in all.
    pub rows: u64,
    /// The sums of everybody, where one pass made them.
    read: Option<Tallies>,
    /// Whose profiles are recomputed, and not read yet.
    waiting: VecDeque<Whom>,
    /// Slices in all.
    slices: u64,
}

/// Reads the increment; for a run over everything whose customers fit into memory that is the whole table, once.
/// Recomputed are the customers that it affects, and those `asked` for.
pub async fn read(
    source: &Source,
    keys: SourceKeys,
    increment: &mut Increment,
    asked: HashSet<CustomerId>,
    config: &Config,
) -> Result<Extracted, BatchError> {
    let catalog = read_catalog(source, keys).await?;
    let fit = customers_that_fit(config.memory.max_memory);
    let everybody = increment.everything.then(|| Whom::everybody(&catalog, fit));
    let keep = everybody.as_ref().is_some_and(|slices| slices.len() == 1);
    let (mut tallies, mut affected) = (Tallies::default(), asked);
    let judge = |row: &Transaction| judge_transaction(row, &catalog);
    let look = Look { catalog: &catalog, settings: &config.increment, judge, again: !keep };
    let examined = examine(source, increment, look, |row, verdict| {
        if keep {
            tallies.count(row, verdict.reasons, &catalog);
        } else if everybody.is_none() && verdict.affects() {
            affected.extend(row.customer_id);
        }
    })
    .await?;

    let (mut no_longer_bad, still_bad) = quarantined_customers(source, increment).await?;
    affected.extend(no_longer_bad.iter().filter_map(customer_id));
    let nulls = if keys.customer_ids_are_keys { 0 } else { source.customers_without_key().await? };
    if nulls > 0 {
        no_longer_bad.remove(&(Entity::Customer, None));
    }
    let waiting = everybody.unwrap_or_else(|| Whom::these(&affected, fit));
    Ok(Extracted {
        rows: examined.rows,
        examined,
        catalog,
        still_bad,
        no_longer_bad,
        without_key: (nulls > 0).then(|| QuarantineEntry::null_keys(Entity::Customer, nulls)),
        read: keep.then_some(tallies),
        slices: waiting.len() as u64,
        waiting,
    })
}

impl Extracted {
    /// Nothing read yet but what these customers bought is to be.
    pub async fn of(
        customers: &HashSet<CustomerId>,
        source: &Source,
        keys: SourceKeys,
        increment: &Increment,
        config: &Config,
    ) -> Result<Self, SourceError> {
        let catalog = read_catalog(source, keys).await?;
        let (no_longer_bad, _) = quarantined_customers(source, increment).await?;
        let waiting = Whom::these(customers, customers_that_fit(config.memory.max_memory));
        Ok(Self { catalog, no_longer_bad, slices: waiting.len() as u64, waiting, ..Self::default() })
    }

    /// Whether nobody's profile is recomputed.
    #[must_use]
    pub fn affects_nobody(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the batch has nothing new to say.
    #[must_use]
    pub fn changes_nothing(&self, increment: &Increment) -> bool {
        let leaves = !self.examined.corrected.is_empty() || !self.no_longer_bad.is_empty();
        let news = self.entries(&[]).any(|entry| increment.is_news(entry));
        self.examined.new_rows == 0 && self.affects_nobody() && !leaves && !news
    }

    /// All entries for the quarantine; those that the slices brought are in `met`.
    pub fn entries<'e>(&'e self, met: &'e [QuarantineEntry]) -> impl Iterator<Item = &'e QuarantineEntry> {
        let noted: HashSet<QuarantinedKey> = met.iter().map(QuarantineEntry::key).collect();
        let not_met = self.still_bad.iter().filter(move |entry| !noted.contains(&entry.key()));
        self.examined.entries().chain(met).chain(not_met).chain(&self.without_key)
    }

    /// Reads the next customers that fit into memory together; `None` when all were read.
    pub async fn next_slice(
        &mut self,
        source: &Source,
        keys: SourceKeys,
        increment: &Increment,
        config: &Config,
    ) -> Result<Option<Slice>, SourceError> {
        let Some(whom) = self.waiting.pop_front() else { return Ok(None) };
        let tallies = if let Some(tallies) = self.read.take() {
            tallies
        } else {
            let again = Recomputation {
                source,
                keys,
                last: increment.highest,
                catalog: &self.catalog,
                settings: &config.increment,
                slices: self.slices,
            };
            let (tallies, rows) = again.tallies(&whom, &mut self.examined).await?;
            self.rows += rows;
            tallies
        };
        let customers = whom.rows(source).await?;
        Ok(Some(Slice { whom, tallies, customers }))
    }
}

/// The customers in quarantine: those whose rows are fine now, or gone, and what is to be said of the others.
async fn quarantined_customers(
    source: &Source,
    increment: &Increment,
) -> Result<(HashSet<QuarantinedKey>, Vec<QuarantineEntry>), SourceError> {
    let customers = increment.quarantined.keys().filter(|(entity, _)| *entity == Entity::Customer);
    let mut quarantined: HashSet<QuarantinedKey> = customers.copied().collect();
    let ids: HashSet<CustomerId> = quarantined.iter().filter_map(customer_id).collect();
    let mut rows = source.customers_by_id(&sorted(&ids)).await?;
    rows.sort_by_key(|row| row.customer_id);
    let mut still_bad = Vec::new();
    for same_id in rows.chunk_by(|left, right| left.customer_id == right.customer_id) {
        let reasons = judge_rows(same_id);
        if !reasons.is_empty() {
            quarantined.remove(&(Entity::Customer, Some(same_id[0].customer_id.0.into())));
            still_bad.push(QuarantineEntry::customer(&same_id[0], reasons));
        }
    }
    Ok((quarantined, still_bad))
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
