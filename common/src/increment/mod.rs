//! Which rows of `transactions` a run of pipeline A or B has to look at, and what it leaves open.

mod gaps;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use chrono::{DateTime, Utc};

pub use gaps::Gaps;

use crate::batch::BatchError;
use crate::offsets::{Gap, GapFinder, Running, joined};
use crate::partitioning::{read_partitions, split_ids};
use crate::quality::{Entity, QuarantineEntry, Quarantined};
use crate::run::{RunReport, RunStatus};
use crate::schema::TxnId;
use crate::settings::{IncrementArgs, RecomputeArgs};
use crate::source::{Batch, Job, Part, QuarantinedKey, Source, SourceKeys};

/// With more open gaps than this, those near each other are read together: where ids are sparse there is a gap for each
/// row, and a query of a hundred ranges costs more than their neighbours.
const MANY_GAPS: usize = 1_000;

/// Ids between gaps that are read together, at most.
const NEAR: u64 = 1_000;

/// The table was restored, truncated or swapped since the offset was written.
#[derive(Debug, thiserror::Error)]
#[error(
    "the offset of {job} is {watermark}, but the highest txn_id in transactions is {highest}: was the database \
     restored or swapped? Run once with --reset-offset to recompute everything from the table as it is now"
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
    /// The highest id when this run started, or with `--strict-order` the last one below the first open gap; the
    /// run accounts for ids up to here.
    pub highest: TxnId,
    /// Every row has to be read: the first run, most of the table is new, or it was asked for.
    pub everything: bool,
    /// Keys in quarantine.
    pub quarantined: HashMap<QuarantinedKey, Quarantined>,
    /// Open gaps up to the watermark, ascending.
    gaps: Vec<Gap>,
    /// Gaps beyond the watermark that were remembered for their age, ascending.
    ahead: Vec<Gap>,
    /// Gaps beyond `highest` that hold a strictly ordered run back.
    holding: Vec<Gap>,
    running: Running,
    now: DateTime<Utc>,
    /// Parts before this index are ranges of ids that are looked through for gaps.
    finders: Vec<GapFinder>,
    /// Parts that bring the open gaps.
    gap_parts: Range<usize>,
    /// Ids found in the remaining parts.
    found_again: Vec<u64>,
}

impl Increment {
    /// Reads the offset, the open gaps, the quarantine, the highest id and the running transactions.
    pub async fn find(
        source: &Source,
        job: Job,
        settings: &IncrementArgs,
        asked: &RecomputeArgs,
    ) -> Result<Self, BatchError> {
        let books = !asked.dry_run || source.has_own_tables().await?;
        let watermark = if books { source.watermark(job).await? } else { TxnId(0) };
        // The order matters: see `Gap::settled_at_first_sight`.
        let highest = source.highest_txn_id().await?.unwrap_or(TxnId(0));
        // The question is asked by writing, which a dry run does not do.
        let (running, now) = source.running_transactions((!asked.dry_run).then_some(job)).await?;
        if watermark > highest && !asked.reset_offset {
            return Err(OffsetBeyondTable { job: job.name(), watermark, highest }.into());
        }
        let mut found = Self {
            watermark,
            highest,
            everything: asked.full || asked.reset_offset,
            quarantined: if books { source.quarantined(job).await? } else { HashMap::new() },
            gaps: if books { source.gaps(job).await? } else { Vec::new() },
            ahead: Vec::new(),
            holding: Vec::new(),
            running,
            now,
            finders: Vec::new(),
            gap_parts: 0..0,
            found_again: Vec::new(),
        };
        if asked.reset_offset {
            (found.watermark, found.gaps) = (TxnId(0), Vec::new());
        }
        found.set_apart_gaps_ahead();
        // A first run has no order to keep: holes of the past would end it before it began.
        if settings.strict_order && found.watermark > TxnId(0) {
            let missing = source.missing_ids(found.watermark, highest).await?;
            found.hold_at_first_gap(missing, settings.gap_grace);
        }
        found.everything |= found.highest.0 - found.watermark.0 > found.highest.0 / 3;
        Ok(found)
    }

    /// Whether there is nothing at all to look at. A source that does not keep its keys has to be looked at always:
    /// a row without a key, or with one that stands already, does not move the highest id.
    #[must_use]
    pub fn is_empty(&self, keys: SourceKeys) -> bool {
        let kept = keys.txn_ids_are_keys && keys.customer_ids_are_keys;
        let nothing_new =
            self.watermark == self.highest && self.gaps.is_empty() && self.holding == self.ahead;
        kept && nothing_new && self.quarantined.is_empty() && !self.everything
    }

    /// Rows that there can be at most, but for those in quarantine.
    #[must_use]
    pub fn most_rows(&self) -> u64 {
        if self.everything {
            return self.highest.0;
        }
        self.gaps.iter().map(Gap::ids).fold(self.highest.0 - self.watermark.0, u64::saturating_add)
    }

    /// Whether the quarantine does not say this yet.
    #[must_use]
    pub fn is_news(&self, entry: &QuarantineEntry) -> bool {
        self.quarantined.get(&entry.key()).is_none_or(|standing| !standing.says(entry))
    }

    /// The parts to read: everything, or the new ids, the open gaps and the transactions in quarantine, besides
    /// `suspects`. Each row comes in one part only. Pass every batch to [`Increment::observe`].
    pub fn parts(&mut self, configured_partitions: u64, suspects: &HashSet<TxnId>) -> Vec<Part> {
        let first = if self.everything { 1 } else { self.watermark.0.saturating_add(1) };
        let span = self.highest.0.saturating_sub(first);
        let mut ranges = split_ids(first, self.highest.0, read_partitions(span, configured_partitions));
        if self.watermark == self.highest && !self.everything {
            // The highest possible id has no successor to begin with.
            ranges.clear();
        }
        self.finders = ranges.iter().map(|range| GapFinder::new(range.start, range.last())).collect();
        let mut parts: Vec<Part> = ranges.into_iter().map(Part::ids).collect();
        if !self.everything {
            let gaps: Vec<(u64, u64)> = self.gaps.iter().map(|gap| (gap.first, gap.last)).collect();
            let apart = if gaps.len() > MANY_GAPS { NEAR } else { 1 };
            let first = parts.len();
            parts.extend(Part::id_ranges(&joined(gaps, apart)));
            self.gap_parts = first..parts.len();
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
        let ids = batch.rows.iter().map(|row| row.txn_id);
        if let Some(finder) = self.finders.get_mut(batch.part) {
            ids.for_each(|id| finder.present(id.0));
        } else {
            let found: Vec<u64> =
                ids.filter(|id| !self.only_between_gaps(batch.part, *id)).map(|id| id.0).collect();
            self.found_again.extend(found);
        }
    }

    /// Whether a part brought `id` only because it lies between gaps.
    #[must_use]
    pub fn only_between_gaps(&self, part: usize, id: TxnId) -> bool {
        self.gap_parts.contains(&part) && !self.in_gap(id)
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

    /// The report of a run that had nothing to do.
    #[must_use]
    pub fn idle(&self, mut report: RunReport, rows_read: u64) -> RunReport {
        report.read = rows_read;
        let gaps = Gaps { open: self.remembered().cloned().collect(), settled: 0 };
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
        let added = entries.into_iter().filter(|entry| !known(&entry.key())).count();
        let left = corrected.iter().filter(|key| known(key)).count();
        report.status = RunStatus::Ok;
        self.described(report, gaps, self.quarantined.len() + added - left)
    }

    fn described(&self, mut report: RunReport, gaps: &Gaps, quarantined: usize) -> RunReport {
        report.quarantined = quarantined as u64;
        let oldest = gaps.open.iter().map(|gap| self.now - gap.first_seen).max().unwrap_or_default();
        report
            .with("from_txn_id", self.watermark.0.saturating_add(1))
            .with("to_txn_id", self.highest.0)
            .with("open_gaps", gaps.open.len())
            .with("open_gap_ids", gaps.open.iter().map(Gap::ids).fold(0, u64::saturating_add))
            .with("oldest_gap_seconds", oldest.num_seconds())
            .with("settled_gaps", gaps.settled)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::quality::Reason;
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
            ahead: Vec::new(),
            holding: Vec::new(),
            running: Running::Since(at(0)),
            now: at(1_000),
            finders: Vec::new(),
            gap_parts: 0..0,
            found_again: Vec::new(),
        }
    }

    fn standing() -> Quarantined {
        Quarantined::new([Reason::NonPositiveQty].into_iter().collect(), "{}")
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
    fn many_gaps_near_each_other_are_read_together_and_what_lies_between_counts_for_nothing() {
        let gap = |id| Gap { first: id, last: id, first_seen: at(500) };
        let mut run = increment(10_000, 10_000, (1..=4_000).map(|id| gap(2 * id)).collect());
        assert_eq!(run.parts(8, &HashSet::new()).len(), 1, "one range");
        assert!(run.only_between_gaps(0, TxnId(3)) && !run.only_between_gaps(0, TxnId(4)));
        run.observe(&batch(0, &[1, 3, 4, 5, 7_999]));
        assert_eq!(run.found_again, [4]);
        assert_eq!(run.gaps_left(Duration::MAX).open.len(), 3_999);
    }

    #[test]
    fn a_gap_on_both_sides_of_an_offset_that_was_set_back_is_cut_there() {
        let mut run = increment(15, 20, vec![Gap { first: 11, last: 18, first_seen: at(500) }]);
        run.set_apart_gaps_ahead();
        run.parts(1, &HashSet::new());
        run.observe(&batch(1, &[19, 20]));
        let gaps = run.gaps_left(Duration::from_mins(10));
        let open: Vec<_> = gaps.open.iter().map(|gap| (gap.first, gap.last, gap.first_seen)).collect();
        assert_eq!(open, [(11, 15, at(500)), (16, 18, at(500))]);
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

    #[test]
    fn a_strictly_ordered_run_ends_before_the_first_open_gap_and_remembers_how_old_each_is() {
        let mut run = increment(10, 30, vec![Gap { first: 15, last: 19, first_seen: at(500) }]);
        run.set_apart_gaps_ahead();
        run.hold_at_first_gap(vec![(15, 17), (25, 26)], Duration::from_mins(10));
        assert_eq!(run.highest, TxnId(14));
        run.parts(2, &HashSet::new());
        run.observe(&batch(0, &[11, 12]));
        run.observe(&batch(1, &[13, 14]));
        let gaps = run.gaps_left(Duration::from_mins(10));
        let open: Vec<_> = gaps.open.iter().map(|gap| (gap.first, gap.last, gap.first_seen)).collect();
        assert_eq!(open, [(15, 17, at(500)), (25, 26, at(1_000))]);
        assert!(run.changed(&gaps));
    }

    #[test]
    fn a_strictly_ordered_run_passes_a_gap_that_can_no_longer_fill() {
        let mut run = increment(10, 30, vec![Gap { first: 15, last: 17, first_seen: at(500) }]);
        run.running = Running::None;
        run.set_apart_gaps_ahead();
        run.hold_at_first_gap(vec![(15, 17)], Duration::from_mins(10));
        assert_eq!(run.highest, TxnId(30));
        run.parts(1, &HashSet::new());
        run.observe(&batch(0, &[11, 12, 13, 14, 18, 19, 20]));
        run.observe(&batch(1, &(21..=30).collect::<Vec<_>>()));
        assert_eq!(run.gaps_left(Duration::from_mins(10)), Gaps { open: Vec::new(), settled: 1 });
    }

    #[test]
    fn a_gap_that_held_a_run_back_keeps_its_age_when_order_no_longer_matters() {
        let mut run = increment(10, 20, vec![Gap { first: 15, last: 16, first_seen: at(500) }]);
        run.set_apart_gaps_ahead();
        run.parts(1, &HashSet::new());
        run.observe(&batch(0, &[11, 12, 13, 14, 15]));
        run.observe(&batch(1, &[17, 18, 20]));
        let open: Vec<_> = run
            .gaps_left(Duration::MAX)
            .open
            .iter()
            .map(|gap| (gap.first, gap.last, gap.first_seen))
            .collect();
        assert_eq!(open, [(16, 16, at(500)), (19, 19, at(1_000))]);
    }
}
