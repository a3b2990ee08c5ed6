//! The seeds' heuristics for how many parts a read or a write is split into.
//!
//! They bound concurrency only; the rows themselves stream.

/// Rows a read partition should hold, about (main seed document, "JDBC partitioning").
pub const ROWS_PER_READ_PARTITION: u64 = 10_000;

/// Number of range partitions for reading `span` ids:
/// `max(2, min(configured, span / 10_000 + 1))`.
#[must_use]
pub fn read_partitions(span: u64, configured: u64) -> u64 {
    configured.min(span / ROWS_PER_READ_PARTITION + 1).max(2)
}

/// Number of writes in flight for `affected` keys: `max(8, min(configured, max(1, affected × 4)))`.
#[must_use]
pub fn write_parallelism(affected: u64, configured: u64) -> u64 {
    configured.min(affected.saturating_mul(4).max(1)).max(8)
}

/// Ids `start..end`, and `end` too where `inclusive`: only the last range of a split is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// First id.
    pub start: u64,
    /// End of the range, exclusive unless `inclusive`.
    pub end: u64,
    /// Whether `end` itself belongs to the range.
    pub inclusive: bool,
}

impl IdRange {
    /// The last id that belongs to the range.
    #[must_use]
    pub fn last(&self) -> u64 {
        if self.inclusive { self.end } else { self.end - 1 }
    }
}

/// Splits `first..=last` into at most `partitions` ranges of equal stride, each id in exactly one of them.
///
/// Empty when `first > last`. The far end is inclusive in the last range only.
#[must_use]
pub fn split_ids(first: u64, last: u64, partitions: u64) -> Vec<IdRange> {
    if first > last {
        return Vec::new();
    }
    let width = u128::from(last - first) + 1;
    let parts = u128::from(partitions.max(1)).min(width);
    let bound =
        |i: u128| first + u64::try_from(width * i / parts).expect("a bound lies within the split range");
    (0..parts)
        .map(|i| {
            let inclusive = i + 1 == parts;
            IdRange { start: bound(i), end: if inclusive { last } else { bound(i + 1) }, inclusive }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn read_partitions_follow_the_seed() {
        for (span, configured, expected) in [
            (0, 8, 2),
            (9_999, 8, 2),
            (10_000, 8, 2),
            (20_000, 8, 3),
            (69_999, 8, 7),
            (400_000, 8, 8),
            (400_000, 64, 41),
            (4_000_000, 1, 2),
            (u64::MAX, 16, 16),
        ] {
            assert_eq!(read_partitions(span, configured), expected, "span {span}, configured {configured}");
        }
    }

    #[test]
    fn write_parallelism_follows_the_seed() {
        for (affected, configured, expected) in [
            (0, 128, 8),
            (1, 128, 8),
            (2, 128, 8),
            (3, 128, 12),
            (5_000, 128, 128),
            (5_000, 4, 8),
            (u64::MAX, 256, 256),
        ] {
            assert_eq!(
                write_parallelism(affected, configured),
                expected,
                "affected {affected}, configured {configured}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_id_is_in_exactly_one_range(first in 0..u64::MAX, span in 0u64..1_000_000, parts in 1u64..300) {
            let last = first.saturating_add(span);
            let ranges = split_ids(first, last, parts);
            prop_assert_eq!(ranges[0].start, first);
            prop_assert_eq!(ranges.last().map(IdRange::last), Some(last));
            prop_assert!(ranges.len() as u64 <= parts);
            for pair in ranges.windows(2) {
                prop_assert_eq!(pair[0].last() + 1, pair[1].start);
                prop_assert!(!pair[0].inclusive);
            }
            let widths: Vec<u64> = ranges.iter().map(|r| r.last() - r.start).collect();
            prop_assert!(widths.iter().max().unwrap() - widths.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn nothing_to_read_is_no_range() {
        assert!(split_ids(8, 7, 4).is_empty());
    }
}
