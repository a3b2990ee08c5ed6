//! Which rows of `transactions` a run of pipeline A or B has to look at, and what it leaves open.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::batch::BatchError;
use crate::offsets::{Gap, GapFinder, Running, joined};
use crate::partitioning::{read_partitions, split_ids};
use crate::quality::{Entity, QuarantineEntry, Reason};
use crate::run::{RunReport, RunStatus};
use crate::schema::TxnId;
use crate::source::{Batch, Job, Part, Quarantined, QuarantinedKey, Source, SourceKeys};

/// The table was restored, truncated or swapped since the offset was written.
#[derive(Debug, thiserror::Error)]
#[error(
    "the offset of {job} is {watermark}, but the highest txn_id in transactions is {highest}: was the database \
     restored or swapped? Set the offset to {highest} or less (0 recomputes everything) and run again"
)]
pub struct OffsetBeyondTable {
    job: &'static str,
    watermark: TxnId,
    highest: TxnId,
}

/// What has happened in the source since the last run of a job.
#[derive(Debug)]
pub struct Increment {
    /// Ids up to here were accounted for, but for the gaps.
    pub watermark: TxnId,
    /// The highest id when this run started; it accounts for ids up to here.
    pub highest: TxnId,
    /// Every row has to be read: the first run, or most of the table is new.
    pub everything: bool,
    /// Keys in quarantine.
    pub quarantined: HashMap<QuarantinedKey, Quarantined>,
    gaps: Vec<Gap>,
    running: Running,
    now: DateTime<Utc>,
    /// Parts before this index are ranges of ids that are looked through for gaps.
    finders: Vec<GapFinder>,
    /// Ids found in the remaining parts.
    found_again: Vec<u64>,
}

/// The gaps after a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Looked for again by the next run.
    pub open: Vec<Gap>,
    /// Ranges given up in this run.
    pub settled: u64,
}

impl Increment {
    /// Reads the offset, the open gaps, the quarantine, the highest id and the running transactions.
    pub async fn find(source: &Source, job: Job) -> Result<Self, BatchError> {
        let watermark = source.watermark(job).await?;
        // The order matters: see `Gap::settled_at_first_sight`.
        let highest = source.highest_txn_id().await?.unwrap_or(TxnId(0));
        let (running, now) = source.running_transactions(job).await?;
        if watermark > highest {
            return Err(OffsetBeyondTable { job: job.name(), watermark, highest }.into());
        }
        Ok(Self {
            watermark,
            highest,
            everything: highest.0 - watermark.0 > highest.0 / 3,
            quarantined: source.quarantined(job).await?,
            gaps: source.gaps(job).await?,
            running,
            now,
            finders: Vec::new(),
            found_again: Vec::new(),
        })
    }

    /// Whether there is nothing at all to look at. A source that does not keep its keys has to be looked at always:
    /// a row without a key, or with one that stands already, does not move the highest id.
    #[must_use]
    pub fn is_empty(&self, keys: SourceKeys) -> bool {
        let kept = keys.txn_ids_are_keys && keys.customer_ids_are_keys;
        kept && self.watermark == self.highest && self.gaps.is_empty() && self.quarantined.is_empty()
    }

    /// Whether the quarantine does not say this yet.
    #[must_use]
    pub fn is_news(&self, entry: &QuarantineEntry) -> bool {
        let Some(standing) = self.quarantined.get(&(entry.entity, entry.id)) else { return true };
        // Of several rows with one id any may be the one whose values are shown.
        let same_values = entry.reasons.contains(Reason::DuplicateId) || standing.detail == entry.detail;
        standing.reasons != entry.reasons || !same_values
    }

    /// The parts to read: everything, or the new ids, the open gaps and the transactions in quarantine, besides
    /// `suspects`. Each row comes in one part only. Pass every batch to [`Increment::observe`].
    pub fn parts(&mut self, configured_partitions: u64, suspects: &HashSet<TxnId>) -> Vec<Part> {
        let first = if self.everything { 1 } else { self.watermark.0.saturating_add(1) };
        let span = self.highest.0.saturating_sub(first);
        let ranges = split_ids(first, self.highest.0, read_partitions(span, configured_partitions));
        self.finders = ranges.iter().map(|range| GapFinder::new(range.start, range.last())).collect();
        let mut parts: Vec<Part> = ranges.into_iter().map(Part::ids).collect();
        if !self.everything {
            let gaps: Vec<(u64, u64)> = self.gaps.iter().map(|gap| (gap.first, gap.last)).collect();
            parts.extend(Part::id_ranges(&gaps));
            parts.extend(Part::single_ids(&self.looked_at_again(suspects)));
        }
        parts
    }

    fn looked_at_again(&self, suspects: &HashSet<TxnId>) -> Vec<TxnId> {
        let quarantined = self.quarantined.keys().filter(|(entity, _)| *entity == Entity::Transaction);
        let mut ids: Vec<TxnId> = quarantined
            .filter_map(|(_, id)| id.map(|id| TxnId(id.cast_unsigned())))
            .chain(suspects.iter().copied())
            .filter(|id| *id <= self.watermark && !self.in_gap(*id))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Notes which ids a batch of [`Increment::parts`] holds.
    pub fn observe(&mut self, batch: &Batch) {
        let ids = batch.rows.iter().map(|row| row.txn_id.0);
        match self.finders.get_mut(batch.part) {
            Some(finder) => ids.for_each(|id| finder.present(id)),
            None => self.found_again.extend(ids),
        }
    }

    /// Whether `id` was not accounted for by an earlier run.
    #[must_use]
    pub fn is_new(&self, id: TxnId) -> bool {
        id > self.watermark || self.in_gap(id)
    }

    fn in_gap(&self, id: TxnId) -> bool {
        // Gaps are ascending and do not overlap.
        let candidate = self.gaps.partition_point(|gap| gap.last < id.0);
        self.gaps.get(candidate).is_some_and(|gap| gap.first <= id.0)
    }

    /// Whether a gap was closed or filled, so that the books change even where no row is new.
    #[must_use]
    pub fn changed(&self, gaps: &Gaps) -> bool {
        self.watermark != self.highest || gaps.open != self.gaps
    }

    /// The gaps that this run leaves, once all batches were observed.
    #[must_use]
    pub fn gaps_left(&mut self, grace: Duration) -> Gaps {
        let missing =
            joined(std::mem::take(&mut self.finders).into_iter().flat_map(GapFinder::finish).collect());
        self.found_again.sort_unstable();
        let mut gaps = Gaps::default();
        for gap in &self.gaps {
            let left = if self.everything { gap.remaining(&missing) } else { self.still_missing(gap) };
            for gap in left {
                if gap.settled(self.running, self.now, grace) {
                    gaps.settled += 1;
                } else {
                    gaps.open.push(gap);
                }
            }
        }
        let new = missing.into_iter().filter(|&(_, last)| last > self.watermark.0);
        for (first, last) in new {
            let gap = Gap { first: first.max(self.watermark.0 + 1), last, first_seen: self.now };
            if gap.settled_at_first_sight(self.running, self.highest.0) {
                gaps.settled += 1;
            } else {
                gaps.open.push(gap);
            }
        }
        gaps
    }

    /// The report of a run that had nothing to do.
    #[must_use]
    pub fn idle(&self, mut report: RunReport, rows_read: u64) -> RunReport {
        report.read = rows_read;
        let gaps = Gaps { open: self.gaps.clone(), settled: 0 };
        self.described(report, &gaps, self.quarantined.len())
    }

    /// The report of a run that puts `entries` into quarantine and takes `corrected` out.
    #[must_use]
    pub fn done<'e>(
        &self,
        mut report: RunReport,
        gaps: &Gaps,
        entries: impl IntoIterator<Item = &'e QuarantineEntry>,
        corrected: &HashSet<QuarantinedKey>,
    ) -> RunReport {
        let known = |key: &QuarantinedKey| self.quarantined.contains_key(key);
        let added = entries.into_iter().filter(|entry| !known(&(entry.entity, entry.id))).count();
        let left = corrected.iter().filter(|key| known(key)).count();
        report.status = RunStatus::Ok;
        self.described(report, gaps, self.quarantined.len() + added - left)
    }

    fn described(&self, mut report: RunReport, gaps: &Gaps, quarantined: usize) -> RunReport {
        report.quarantined = quarantined as u64;
        report
            .with("from_txn_id", self.watermark.0.saturating_add(1))
            .with("to_txn_id", self.highest.0)
            .with("open_gaps", gaps.open.len())
            .with("open_gap_ids", gaps.open.iter().map(Gap::ids).fold(0, u64::saturating_add))
            .with("settled_gaps", gaps.settled)
    }

    fn still_missing(&self, gap: &Gap) -> Vec<Gap> {
        let mut finder = GapFinder::new(gap.first, gap.last);
        let from = self.found_again.partition_point(|id| *id < gap.first);
        self.found_again[from..].iter().take_while(|id| **id <= gap.last).for_each(|id| finder.present(*id));
        gap.remaining(&finder.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Transaction;

    fn at(seconds: u64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn increment(watermark: u64, highest: u64, gaps: Vec<Gap>) -> Increment {
        Increment {
            watermark: TxnId(watermark),
            highest: TxnId(highest),
            everything: false,
            quarantined: HashMap::new(),
            gaps,
            running: Running::Since(at(0)),
            now: at(1_000),
            finders: Vec::new(),
            found_again: Vec::new(),
        }
    }

    fn standing() -> Quarantined {
        let reasons = [Reason::NonPositiveQty].into_iter().collect();
        Quarantined { first_seen: String::new(), reasons, detail: "{}".to_owned() }
    }

    #[test]
    fn other_reasons_or_values_of_a_quarantined_key_are_news() {
        let mut run = increment(10, 10, Vec::new());
        run.quarantined.insert((Entity::Transaction, Some(3)), standing());
        let entry = |reason: Reason, detail: &str| QuarantineEntry {
            entity: Entity::Transaction,
            id: Some(3),
            reasons: [reason].into_iter().collect(),
            detail: detail.to_owned(),
        };
        assert!(!run.is_news(&entry(Reason::NonPositiveQty, "{}")));
        assert!(run.is_news(&entry(Reason::NonPositiveAmount, "{}")));
        assert!(run.is_news(&entry(Reason::NonPositiveQty, "{\"qty\":-1}")));
        assert!(run.is_news(&QuarantineEntry { id: Some(4), ..entry(Reason::NonPositiveQty, "{}") }));
    }

    fn batch(part: usize, ids: &[u64]) -> Batch {
        let row = |id| Transaction {
            txn_id: TxnId(id),
            customer_id: None,
            product_id: None,
            qty: None,
            amount: None,
            at: None,
        };
        Batch { part, rows: ids.iter().copied().map(row).collect() }
    }

    #[test]
    fn new_gaps_open_and_old_ones_shrink_as_they_fill() {
        let mut run = increment(10, 20, vec![Gap { first: 3, last: 5, first_seen: at(500) }]);
        let parts = run.parts(8, &HashSet::new());
        assert_eq!(parts.len(), 3, "two ranges of new ids and the gap");
        run.observe(&batch(0, &[11, 12, 14, 15]));
        run.observe(&batch(1, &[18, 20]));
        run.observe(&batch(2, &[4]));
        let gaps = run.gaps_left(Duration::from_mins(10));
        let open: Vec<_> = gaps.open.iter().map(|gap| (gap.first, gap.last, gap.first_seen)).collect();
        assert_eq!(
            open,
            [(3, 3, at(500)), (5, 5, at(500)), (13, 13, at(1_000)), (16, 17, at(1_000)), (19, 19, at(1_000))]
        );
        assert!(run.is_new(TxnId(4)) && run.is_new(TxnId(11)) && !run.is_new(TxnId(9)));
    }

    #[test]
    fn a_full_scan_does_not_open_gaps_below_the_watermark_again() {
        let mut run = increment(10, 40, vec![Gap { first: 3, last: 5, first_seen: at(500) }]);
        run.everything = true;
        let parts = run.parts(2, &HashSet::new());
        assert_eq!(parts.len(), 2);
        run.observe(&batch(0, &[1, 5, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]));
        run.observe(&batch(1, &(21..=40).collect::<Vec<_>>()));
        let open: Vec<_> =
            run.gaps_left(Duration::MAX).open.iter().map(|gap| (gap.first, gap.last)).collect();
        assert_eq!(open, [(3, 4)], "2 and 6 to 9 were settled by an earlier run");
    }

    #[test]
    fn a_row_in_quarantine_is_looked_at_again_unless_another_part_brings_it() {
        let mut run = increment(10, 12, vec![Gap { first: 3, last: 5, first_seen: at(500) }]);
        for id in [4, 7, 11] {
            run.quarantined.insert((Entity::Transaction, Some(id)), standing());
        }
        run.quarantined.insert((Entity::Customer, Some(8)), standing());
        assert_eq!(run.looked_at_again(&HashSet::from([TxnId(9)])), [TxnId(7), TxnId(9)]);
    }
}
