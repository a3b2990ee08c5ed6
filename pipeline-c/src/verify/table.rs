//! Two multisets compared in little memory: by sums of hashes, in buckets that say where they differ.

use std::collections::BTreeSet;

/// Buckets of a table. Where a few rows differ, few buckets do, and only their rows are looked at again.
const BUCKETS: usize = 1 << 16;

/// The hash of a row's content. Equal rows have equal hashes, others have not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowHash(pub u128);

impl RowHash {
    fn bucket(self) -> usize {
        usize::try_from(self.0 >> 112).expect("16 bits are left")
    }
}

/// Records on one side, rows on the other.
#[derive(Debug)]
pub struct Table(Vec<Bucket>);

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    records: u64,
    rows: u64,
    /// Sum of the records' hashes minus that of the rows'.
    difference: u128,
}

/// Some of a table's buckets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Suspects(BTreeSet<usize>);

impl Suspects {
    /// Whether a row is in one of them.
    #[must_use]
    pub fn contain(&self, row: RowHash) -> bool {
        self.0.contains(&row.bucket())
    }
}

impl Default for Table {
    fn default() -> Self {
        Self(vec![Bucket::default(); BUCKETS])
    }
}

impl Table {
    /// A record that should have this row.
    pub fn add_record(&mut self, row: RowHash) {
        let bucket = &mut self.0[row.bucket()];
        bucket.records += 1;
        bucket.difference = bucket.difference.wrapping_add(row.0);
    }

    /// A row that is there.
    pub fn add_row(&mut self, row: RowHash) {
        let bucket = &mut self.0[row.bucket()];
        bucket.rows += 1;
        bucket.difference = bucket.difference.wrapping_sub(row.0);
    }

    /// Where records and rows differ, in groups that hold at most `most_records` each if a bucket does not hold
    /// more by itself. Nothing when both are the same.
    #[must_use]
    pub fn differing(&self, most_records: u64) -> Vec<Suspects> {
        let mut groups = Vec::new();
        let (mut group, mut records) = (Suspects::default(), 0);
        for (index, bucket) in self.0.iter().enumerate() {
            if bucket.records == bucket.rows && bucket.difference == 0 {
                continue;
            }
            if records + bucket.records > most_records && !group.0.is_empty() {
                groups.push(std::mem::take(&mut group));
                records = 0;
            }
            group.0.insert(index);
            records += bucket.records;
        }
        if !group.0.is_empty() {
            groups.push(group);
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64) -> RowHash {
        super::super::hash::of(&number)
    }

    #[test]
    fn the_same_rows_in_any_order_and_number_do_not_differ() {
        let mut table = Table::default();
        for number in 0..200_000 {
            table.add_record(row(number % 150_000));
            table.add_row(row((199_999 - number) % 150_000));
        }
        assert_eq!(table.differing(10), []);
    }

    #[test]
    fn what_is_missing_doubled_or_another_is_in_a_suspect_bucket_and_little_else_is() {
        let mut table = Table::default();
        for number in 0..100_000 {
            table.add_record(row(number));
            match number {
                7 => {}
                8 => table.add_row(row(8_000_000)),
                9 => [9, 9].into_iter().for_each(|number| table.add_row(row(number))),
                _ => table.add_row(row(number)),
            }
        }
        let suspects = table.differing(u64::MAX);
        assert_eq!(suspects.len(), 1);
        for number in [7, 8, 8_000_000, 9] {
            assert!(suspects[0].contain(row(number)), "{number}");
        }
        assert!((0..100_000).filter(|number| suspects[0].contain(row(*number))).count() < 100);
        let groups = table.differing(1);
        assert!(groups.len() > 1 && groups.iter().any(|group| group.contain(row(7))), "{groups:?}");
    }
}
