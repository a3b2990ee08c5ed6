//! Which ids are accounted for: the watermark and the gaps below it. Pure logic; `source` keeps the tables.
//!
//! Ids from auto-increment become visible out of order: a transaction that took id 100 may commit after a
//! reader has seen 101. Missing ids below the watermark are therefore kept as open gaps and looked for again
//! until they fill or can no longer fill.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Ids younger than this are never given up: the source's view of its running transactions may be a moment old.
const SETTLING: Duration = Duration::from_secs(2);

/// A gap this far below the highest id can be given up at first sight, if no transaction was running: none can
/// have taken so many ids since the source last looked.
const FAR_BELOW: u64 = 100_000;

/// The database transactions that have written and are still running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// The source does not tell (no PROCESS privilege).
    Unknown,
    /// None.
    None,
    /// Some; the oldest started then, by the database's clock.
    Since(DateTime<Utc>),
}

/// A range of ids that were missing when higher ones were seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// First missing id.
    pub first: u64,
    /// Last missing id.
    pub last: u64,
    /// When it was first seen, by the database's clock.
    pub first_seen: DateTime<Utc>,
}

/// Collects the missing ids of one range while its present ids pass in ascending order.
#[derive(Debug, Clone)]
pub struct GapFinder {
    /// The lowest id not accounted for; `None` beyond the highest possible one.
    next: Option<u64>,
    last: u64,
    missing: Vec<(u64, u64)>,
}

impl GapFinder {
    /// Looks for gaps in `first..=last`.
    #[must_use]
    pub fn new(first: u64, last: u64) -> Self {
        Self { next: Some(first), last, missing: Vec::new() }
    }

    /// `id` is present. Ids come in ascending order; repeated ones are fine.
    pub fn present(&mut self, id: u64) {
        let Some(next) = self.next.filter(|next| id >= *next) else { return };
        if id > next {
            self.missing.push((next, id - 1));
        }
        self.next = id.checked_add(1);
    }

    /// All ids have passed: the missing ranges.
    #[must_use]
    pub fn finish(mut self) -> Vec<(u64, u64)> {
        self.missing.extend(self.next.filter(|next| *next <= self.last).map(|next| (next, self.last)));
        self.missing
    }
}

impl Gap {
    /// How many ids are missing.
    #[must_use]
    pub fn ids(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// What is left of the gap when only `missing` is missing still (ascending ranges).
    #[must_use]
    pub fn remaining(&self, missing: &[(u64, u64)]) -> Vec<Self> {
        let from = missing.partition_point(|&(_, last)| last < self.first);
        missing[from..]
            .iter()
            .take_while(|&&(first, _)| first <= self.last)
            .map(|&(first, last)| Self {
                first: first.max(self.first),
                last: last.min(self.last),
                ..self.clone()
            })
            .collect()
    }

    /// Whether the gap can no longer fill.
    ///
    /// `running` was asked **before** the ids were looked for again in vain. A transaction that had taken one of
    /// them was running when the gap was first seen; if none that old still is, it has ended without them.
    /// Where the source does not tell, a gap is given up when it is older than `grace`.
    #[must_use]
    pub fn settled(&self, running: Running, now: DateTime<Utc>, grace: Duration) -> bool {
        let age = (now - self.first_seen).to_std().unwrap_or_default();
        match running {
            Running::Unknown => age > grace,
            Running::None => age >= SETTLING,
            Running::Since(oldest) => age >= SETTLING && oldest > self.first_seen,
        }
    }

    /// Whether a gap that is seen for the first time can be given up at once.
    ///
    /// `highest` was read first, then `running`, then the ids: a transaction that started later than that took
    /// ids above `highest`.
    #[must_use]
    pub fn settled_at_first_sight(&self, running: Running, highest: u64) -> bool {
        running == Running::None && self.last < highest.saturating_sub(FAR_BELOW)
    }
}

/// Joins ranges that are not further `apart`, with what lies between. Those that touch are 1 apart.
#[must_use]
pub fn joined(mut ranges: Vec<(u64, u64)>, apart: u64) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(previous) if first - previous.1 <= apart => previous.1 = last,
            _ => joined.push((first, last)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GRACE: Duration = Duration::from_mins(10);

    fn gap() -> Gap {
        Gap { first: 5, last: 7, first_seen: after(100) }
    }

    fn after(seconds: u64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    proptest! {
        #[test]
        fn every_id_is_either_present_or_in_exactly_one_gap(
            present in proptest::collection::btree_set(1u64..200, 0..100), split in 2u64..199,
        ) {
            // Two read partitions, as a scan has them.
            let mut missing = Vec::new();
            for (first, last) in [(1, split), (split + 1, 199)] {
                let mut finder = GapFinder::new(first, last);
                present.range(first..=last).for_each(|id| finder.present(*id));
                missing.extend(finder.finish());
            }
            let gaps = joined(missing, 1);
            let in_gaps: Vec<u64> = gaps.iter().flat_map(|&(first, last)| first..=last).collect();
            let absent: Vec<u64> = (1..=199).filter(|id| !present.contains(id)).collect();
            prop_assert_eq!(in_gaps, absent);
            for pair in gaps.windows(2) {
                prop_assert!(pair[0].1 + 1 < pair[1].0, "neighbours are one gap");
            }
        }
    }

    #[test]
    fn a_jump_of_a_billion_ids_is_one_gap() {
        let mut finder = GapFinder::new(1, 1_000_000_001);
        finder.present(1);
        finder.present(1_000_000_001);
        assert_eq!(finder.finish(), vec![(2, 1_000_000_000)]);
    }

    #[test]
    fn the_highest_possible_id_leaves_no_gap_behind_it() {
        let mut finder = GapFinder::new(u64::MAX, u64::MAX);
        finder.present(u64::MAX);
        // `next` cannot pass the last id; it must not be taken for missing.
        assert_eq!(finder.finish(), Vec::<(u64, u64)>::new());
    }

    #[test]
    fn duplicates_are_not_gaps() {
        let mut finder = GapFinder::new(1, 3);
        for id in [1, 1, 2, 3, 3] {
            finder.present(id);
        }
        assert!(finder.finish().is_empty());
    }

    #[test]
    fn a_partly_filled_gap_keeps_its_age() {
        let left = gap().remaining(&[(1, 2), (4, 5), (7, 9), (12, 13)]);
        assert_eq!(left, [Gap { last: 5, ..gap() }, Gap { first: 7, ..gap() }]);
        assert!(gap().remaining(&[(1, 4), (8, 9)]).is_empty());
    }

    #[test]
    fn a_gap_is_settled_when_no_transaction_of_its_time_is_running() {
        assert!(
            !gap().settled(Running::Since(after(100)), after(100_000), GRACE),
            "one as old runs, however long"
        );
        assert!(gap().settled(Running::Since(after(101)), after(102), GRACE));
        assert!(gap().settled(Running::None, after(102), GRACE));
        assert!(!gap().settled(Running::None, after(101), GRACE), "too young to tell");
    }

    #[test]
    fn without_the_privilege_a_gap_is_settled_by_age() {
        assert!(!gap().settled(Running::Unknown, after(700), GRACE));
        assert!(gap().settled(Running::Unknown, after(701), GRACE));
    }

    #[test]
    fn a_gap_far_below_is_settled_at_first_sight_only_if_nothing_runs() {
        assert!(gap().settled_at_first_sight(Running::None, 200_000));
        assert!(!gap().settled_at_first_sight(Running::None, 100_007));
        assert!(!gap().settled_at_first_sight(Running::Unknown, 200_000));
        assert!(!gap().settled_at_first_sight(Running::Since(after(1_000)), 200_000));
    }
}
