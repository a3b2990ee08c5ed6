//! The first look at an increment: which rows are accepted, which are not, which were mended.

use std::collections::{BTreeMap, HashSet};

use roaring::RoaringTreemap;

use crate::batch::BatchError;
use crate::increment::Increment;
use crate::quality::{Catalog, Entity, QuarantineEntry, Reasons};
use crate::schema::{Transaction, TxnId};
use crate::settings::IncrementArgs;
use crate::source::{QuarantinedKey, Source, SourceError, SourceKeys};

/// The fewest new rows over which the share of rejected ones means something.
const GATE_MIN_ROWS: u64 = 100;

/// What a look at an increment's rows brought.
#[derive(Debug, Default)]
pub struct Examined {
    /// Rows read.
    pub rows: u64,
    /// Rows that no earlier run accounted for.
    pub new_rows: u64,
    /// Rows that were judged and did not stand in quarantine, those of the recomputation included.
    judged: u64,
    /// Those of them that are not accepted.
    newly_rejected: u64,
    /// Every transaction that is not accepted, by id. A recomputation adds those that it meets.
    pub rejected: BTreeMap<TxnId, QuarantineEntry>,
    /// Quarantined transactions that are accepted now, or gone.
    pub corrected: HashSet<QuarantinedKey>,
    /// Ids of accepted rows that the recomputation has not met yet.
    awaited: RoaringTreemap,
    /// The rows without a key, if any.
    pub without_key: Option<QuarantineEntry>,
}

/// Accepted rows did not turn up in the recomputation.
#[derive(Debug, thiserror::Error)]
#[error(
    "{count} transactions were accepted but not met again when their customers or days were recomputed, {example} \
     among them; were they changed or deleted in between? Run again"
)]
pub struct NotMetAgain {
    count: u64,
    example: TxnId,
}

/// Too many of the new rows were rejected.
#[derive(Debug, thiserror::Error)]
#[error(
    "{rejected} of {rows} transactions are rejected that were not before, more than --max-quarantine-ratio {limit} allows; \
     most frequent: {reasons}. The batch is refused and the offset stays"
)]
pub struct TooManyRejected {
    rejected: u64,
    rows: u64,
    limit: f64,
    reasons: String,
}

/// Everything a transaction may refer to, and the ids that are not unique.
pub async fn read_catalog(source: &Source, keys: SourceKeys) -> Result<Catalog, SourceError> {
    let duplicates = if keys.txn_ids_are_keys { HashSet::new() } else { source.duplicate_txn_ids().await? };
    let (customers, products) = tokio::try_join!(source.customer_ids(), source.products())?;
    Ok(Catalog::new(customers, products, duplicates))
}

/// What became of a row.
#[derive(Debug, Clone, Copy)]
pub struct Verdict {
    /// Why it is not accepted; empty if it is.
    pub reasons: Reasons,
    /// Whether it was in quarantine before.
    pub known: bool,
}

impl Verdict {
    /// Whether its customer or day has to be recomputed. That of a row that is rejected for the first time has to be,
    /// since it may have been accepted by a run that has written and not committed, or before its id became ambiguous.
    #[must_use]
    pub fn affects(self) -> bool {
        self.reasons.is_empty() || !self.known
    }
}

/// How [`examine`] looks at rows.
#[derive(Debug)]
pub struct Look<'a, J> {
    /// What transactions refer to.
    pub catalog: &'a Catalog,
    /// How the source is read, and how many rows may be rejected.
    pub settings: &'a IncrementArgs,
    /// Tells why a row is not accepted.
    pub judge: J,
    /// Whether the rows are read once more for the results; each accepted one is awaited then.
    pub again: bool,
}

/// Reads the rows of `increment`, judges each and passes it on to `each` with its verdict. Refuses the batch when
/// more than `--max-quarantine-ratio` of those that were not in quarantine are rejected.
pub async fn examine(
    source: &Source,
    increment: &mut Increment,
    Look { catalog, settings, judge, again }: Look<'_, impl Fn(&Transaction) -> Reasons>,
    mut each: impl FnMut(&Transaction, Verdict),
) -> Result<Examined, BatchError> {
    let mut examined = Examined::default();
    let limit = settings.max_quarantine_ratio;
    let parts = increment.parts(settings.read_partitions, catalog.duplicate_transactions());
    let mut reader = source.read(parts, settings.read_connections);
    while let Some(batch) = reader.next().await? {
        increment.observe(&batch);
        for row in batch.rows.iter().filter(|row| !increment.only_between_gaps(batch.part, row.txn_id)) {
            let (reasons, new) = (judge(row), increment.is_new(row.txn_id));
            examined.rows += 1;
            examined.new_rows += u64::from(new);
            let known =
                increment.quarantined.contains_key(&(Entity::Transaction, Some(row.txn_id.0.cast_signed())));
            examined.judged += u64::from(!known);
            if !reasons.is_empty() {
                examined.newly_rejected += u64::from(!known);
                // Rows that share an id share an entry.
                examined
                    .rejected
                    .entry(row.txn_id)
                    .and_modify(|entry| entry.reasons = entry.reasons.iter().chain(reasons.iter()).collect())
                    .or_insert_with(|| QuarantineEntry::transaction(row, reasons));
            }
            if reasons.is_empty() && again {
                examined.awaited.insert(row.txn_id.0);
            }
            each(row, Verdict { reasons, known });
        }
        // However good the rest is: what would be refused need not be held in memory.
        examined.gate_over(limit, increment.most_rows())?;
    }
    examined.gate(limit)?;
    let known =
        increment.quarantined.keys().filter(|(entity, id)| *entity == Entity::Transaction && id.is_some());
    let mended = known
        .filter(|(_, id)| id.is_some_and(|id| !examined.rejected.contains_key(&TxnId(id.cast_unsigned()))));
    examined.corrected = mended.copied().collect();
    examined.look_for_null_keys(source, increment).await?;
    Ok(examined)
}

impl Examined {
    async fn look_for_null_keys(
        &mut self,
        source: &Source,
        increment: &Increment,
    ) -> Result<(), SourceError> {
        let count = source.transactions_without_key().await?;
        let key = (Entity::Transaction, None);
        if count > 0 {
            self.without_key = Some(QuarantineEntry::null_keys(Entity::Transaction, count));
        } else if increment.quarantined.contains_key(&key) {
            self.corrected.insert(key);
        }
        Ok(())
    }

    /// Refuses the batch when more than `limit` of the judged rows, at least 100, were rejected.
    pub fn gate(&self, limit: f64) -> Result<(), TooManyRejected> {
        self.gate_over(limit, self.judged)
    }

    fn gate_over(&self, limit: f64, rows: u64) -> Result<(), TooManyRejected> {
        #[allow(clippy::cast_precision_loss)] // a ratio needs no more than 53 bits
        let ratio = self.newly_rejected as f64 / rows.max(1) as f64;
        if self.judged < GATE_MIN_ROWS || ratio <= limit {
            return Ok(());
        }
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for reason in self.rejected.values().flat_map(|entry| entry.reasons.iter()) {
            *counts.entry(reason.code()).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let reasons: Vec<String> =
            counts.iter().take(3).map(|(code, count)| format!("{code} {count}")).collect();
        Err(TooManyRejected { rejected: self.newly_rejected, rows, limit, reasons: reasons.join(", ") })
    }

    /// The recomputation has met a row, and judged it once more.
    pub fn met(&mut self, row: &Transaction, reasons: Reasons) {
        let seen = self.awaited.remove(row.txn_id.0) || self.rejected.contains_key(&row.txn_id);
        self.judged += u64::from(!seen);
        if !reasons.is_empty() {
            self.rejected.entry(row.txn_id).or_insert_with(|| {
                self.newly_rejected += 1;
                QuarantineEntry::transaction(row, reasons)
            });
        }
    }

    /// Fails unless the recomputation has met every accepted row, so that none is passed by the offset unwritten.
    pub fn all_met(&self) -> Result<(), NotMetAgain> {
        match self.awaited.min() {
            None => Ok(()),
            Some(example) => Err(NotMetAgain { count: self.awaited.len(), example: TxnId(example) }),
        }
    }

    /// The corrected keys without those that a recomputation rejected once more.
    #[must_use]
    pub fn corrected_for_good(&self) -> HashSet<QuarantinedKey> {
        let rejected = |id: i64| self.rejected.contains_key(&TxnId(id.cast_unsigned()));
        self.corrected.iter().filter(|(_, id)| !id.is_some_and(rejected)).copied().collect()
    }

    /// All entries for the quarantine.
    pub fn entries(&self) -> impl Iterator<Item = &QuarantineEntry> {
        self.rejected.values().chain(&self.without_key)
    }

    /// All entries, for keeping.
    #[must_use]
    pub fn into_entries(self) -> Vec<QuarantineEntry> {
        self.rejected.into_values().chain(self.without_key).collect()
    }
}
