//! The gaps that a run finds and leaves.

use std::time::Duration;

use super::Increment;
use crate::offsets::{Gap, GapFinder, joined};
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
        // Only where the offset was set back by hand.
        if let Some(gap) = self.gaps.last_mut().filter(|gap| gap.last > self.watermark.0) {
            self.ahead.insert(0, Gap { first: self.watermark.0 + 1, ..gap.clone() });
            gap.last = self.watermark.0;
        }
    }

    /// Lowers `highest` so that the run ends before the first of the `missing` ranges that is still open.
    pub(super) fn hold_at_first_gap(&mut self, missing: Vec<(u64, u64)>, grace: Duration) {
        let missing = missing.into_iter().map(|range| self.aged(range));
        let open = |gap: &Gap| !gap.settled(self.running, self.now, grace) && !self.settled_at_once(gap);
        self.holding = missing.filter(open).collect();
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
            joined(std::mem::take(&mut self.finders).into_iter().flat_map(GapFinder::finish).collect(), 1);
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
            let at_once = gap.first > self.watermark.0 && self.settled_at_once(&gap);
            if at_once || gap.settled(self.running, self.now, grace) {
                gaps.settled += 1;
            } else {
                gaps.open.push(gap);
            }
        }
        gaps.open.extend(self.holding.iter().cloned());
        gaps
    }

    fn settled_at_once(&self, gap: &Gap) -> bool {
        gap.settled_at_first_sight(self.running, self.highest.0)
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
