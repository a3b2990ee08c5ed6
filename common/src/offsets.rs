//! Which ids are accounted for: the watermark and the gaps below it. Pure logic; `source` keeps the tables.
//!
//! Ids from auto-increment become visible out of order: a transaction that took id 100 may commit after a
//! reader has seen 101. Missing ids below the watermark are therefore kept as open gaps and looked for again
//! until they fill or can no longer fill.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// The highest transaction number (`innodb_trx.trx_id`) that was alive at some moment; 0 when none was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrxFence(pub u64);

/// The database transactions that are alive at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliveTransactions {
    /// The source does not tell (no PROCESS privilege).
    Unknown,
    /// None that could have taken an id.
    None,
    /// Some, numbered from `oldest` to `newest`.
    Some {
        /// The lowest number.
        oldest: u64,
        /// The highest number.
        newest: u64,
    },
}

/// A range of ids that were missing when higher ones were seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// First missing id.
    pub first: u64,
    /// Last missing id.
    pub last: u64,
    /// When it was first seen.
    pub first_seen: DateTime<Utc>,
    /// The newest transaction alive then; `None` when the source does not tell.
    pub fence: Option<TrxFence>,
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

/// What a fresh look at an open gap leaves of it.
#[must_use]
pub fn remaining(gap: &Gap, missing: &[(u64, u64)]) -> Vec<Gap> {
    missing.iter().map(|&(first, last)| Gap { first, last, ..gap.clone() }).collect()
}

impl AliveTransactions {
    /// The fence of a gap that is seen now.
    #[must_use]
    pub fn fence(self) -> Option<TrxFence> {
        match self {
            Self::Unknown => None,
            Self::None => Some(TrxFence(0)),
            Self::Some { newest, .. } => Some(TrxFence(newest)),
        }
    }
}

impl Gap {
    /// How many ids are missing.
    #[must_use]
    pub fn ids(&self) -> u64 {
        self.last - self.first + 1
    }

    /// Whether the gap can no longer fill.
    ///
    /// `alive` was asked **before** the ids were looked for again in vain: then a transaction that had taken one
    /// of them has ended without it, unless it was alive at first sight and still is. Where the source does not
    /// tell, a gap is given up when it is older than `grace`.
    #[must_use]
    pub fn settled(&self, alive: AliveTransactions, now: DateTime<Utc>, grace: Duration) -> bool {
        match (self.fence, alive) {
            (Some(_), AliveTransactions::None) => true,
            (Some(TrxFence(newest_then)), AliveTransactions::Some { oldest, .. }) => oldest > newest_then,
            _ => (now - self.first_seen).to_std().is_ok_and(|age| age > grace),
        }
    }
}

/// Joins ranges that touch, so that neighbours from different read partitions are one.
#[must_use]
pub fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(previous) if previous.1.checked_add(1) == Some(first) => previous.1 = last,
            _ => joined.push((first, last)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const GRACE: Duration = Duration::from_secs(600);

    fn gap(fence: Option<u64>) -> Gap {
        Gap { first: 5, last: 7, first_seen: DateTime::UNIX_EPOCH, fence: fence.map(TrxFence) }
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
            let gaps = joined(missing);
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
        [1, 1, 2, 3, 3].into_iter().for_each(|id| finder.present(id));
        assert!(finder.finish().is_empty());
    }

    #[test]
    fn a_partly_filled_gap_keeps_its_age_and_fence() {
        let left = remaining(&gap(Some(9)), &[(5, 5), (7, 7)]);
        let ids: BTreeSet<u64> = left.iter().map(|gap| gap.first).collect();
        assert_eq!(ids, BTreeSet::from([5, 7]));
        assert!(
            left.iter().all(|gap| gap.fence == Some(TrxFence(9)) && gap.first_seen == DateTime::UNIX_EPOCH)
        );
    }

    #[test]
    fn a_gap_is_settled_when_no_transaction_of_its_time_is_alive() {
        let still = AliveTransactions::Some { oldest: 9, newest: 20 };
        let newer = AliveTransactions::Some { oldest: 10, newest: 20 };
        assert!(
            !gap(Some(9)).settled(still, after(100_000), GRACE),
            "one of its time is alive, however long"
        );
        assert!(gap(Some(9)).settled(newer, after(1), GRACE));
        assert!(gap(Some(9)).settled(AliveTransactions::None, after(1), GRACE));
    }

    #[test]
    fn without_the_privilege_a_gap_is_settled_by_age() {
        for (fence, alive) in [
            (None, AliveTransactions::Unknown),
            (Some(3), AliveTransactions::Unknown),
            (None, AliveTransactions::None),
        ] {
            assert!(!gap(fence).settled(alive, after(600), GRACE));
            assert!(gap(fence).settled(alive, after(601), GRACE));
        }
    }
}
