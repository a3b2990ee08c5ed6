//! The gaps that a run finds and leaves.

use std::time::Duration;

use super::Increment;
use crate::offsets::{Gap, GapFinder, coarsened, joined};
use crate::schema::TxnId;

/// The gaps after a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Looked for again by the next run, ascending.
    pub open: Vec<Gap>,
    /// Ranges given up in this run.
    pub settled: u64,
}

impl Increment {
    /// Gaps beyond the watermark are those that held a strictly ordered run back.
    pub(super) fn set_apart_gaps_ahead(&mut self) {
        let below = self.gaps.partition_point(|gap| gap.first <= self.watermark.0);
        self.ahead = self.gaps.split_off(below);
    }

    /// Lowers `highest` so that the run ends before the first of the `missing` ranges that is still open.
    pub(super) fn hold_at_first_gap(&mut self, missing: Vec<(u64, u64)>, grace: Duration) {
        let missing = missing.into_iter().map(|range| self.aged(range));
        let open = missing.filter(|gap| !gap.settled(self.running, self.now, grace));
        self.holding = open.filter_map(|gap| self.left_at_first_sight(gap)).collect();
        if let Some(first) = self.holding.first() {
            self.highest = TxnId(first.first - 1);
        }
    }

    /// All gaps of the last run, ascending.
    pub(super) fn remembered(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.iter().chain(&self.ahead)
    }

    /// Whether a gap was closed or filled, so that the books change even where no row is new.
    #[must_use]
    pub fn changed(&self, gaps: &Gaps) -> bool {
        self.watermark != self.highest || !gaps.open.iter().eq(self.remembered())
    }

    /// The gaps that this run leaves, once all batches were observed.
    #[must_use]
    pub fn gaps_left(&mut self, grace: Duration) -> Gaps {
        let missing =
            joined(std::mem::take(&mut self.finders).into_iter().flat_map(GapFinder::finish).collect());
        self.found_again.sort_unstable();
        let old = self
            .gaps
            .iter()
            .flat_map(|gap| if self.everything { gap.remaining(&missing) } else { self.still_missing(gap) });
        let beyond = missing.iter().filter(|&&(_, last)| last > self.watermark.0);
        let new = beyond.map(|&(first, last)| self.aged((first.max(self.watermark.0 + 1), last)));
        let mut gaps = Gaps::default();
        for gap in old.chain(new) {
            // A gap from below the watermark was seen before, however far below it is.
            let left = if gap.first > self.watermark.0 { self.left_at_first_sight(gap) } else { Some(gap) };
            match left.filter(|gap| !gap.settled(self.running, self.now, grace)) {
                Some(gap) => gaps.open.push(gap),
                None => gaps.settled += 1,
            }
        }
        gaps.open =
            gaps.open.chunk_by(|left, right| left.first_seen == right.first_seen).flat_map(few).collect();
        gaps.open.extend(self.holding.iter().cloned());
        gaps
    }

    fn left_at_first_sight(&self, gap: Gap) -> Option<Gap> {
        gap.left_at_first_sight(self.running, self.highest.0)
    }

    /// A missing range beyond the watermark, first seen now or, where all of it was remembered, then.
    fn aged(&self, (first, last): (u64, u64)) -> Gap {
        let seen = self.ahead.iter().find(|gap| gap.first <= first && last <= gap.last);
        Gap { first, last, first_seen: seen.map_or(self.now, |gap| gap.first_seen) }
    }

    fn still_missing(&self, gap: &Gap) -> Vec<Gap> {
        let mut finder = GapFinder::new(gap.first, gap.last);
        let from = self.found_again.partition_point(|id| *id < gap.first);
        self.found_again[from..].iter().take_while(|id| **id <= gap.last).for_each(|id| finder.present(*id));
        gap.remaining(&finder.finish())
    }
}

/// Gaps that were first seen together, in not too many ranges.
fn few(together: &[Gap]) -> Vec<Gap> {
    let ranges = together.iter().map(|gap| (gap.first, gap.last)).collect();
    let gap = |(first, last)| Gap { first, last, first_seen: together[0].first_seen };
    coarsened(ranges).into_iter().map(gap).collect()
}
