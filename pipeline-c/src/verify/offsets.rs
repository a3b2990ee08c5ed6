//! A set of offsets, a bit each.

use std::collections::BTreeMap;

/// Offsets in one block.
const BLOCK: i64 = 1 << 15;

/// Offsets of a partition. Takes at most an eighth of a byte for each offset between its first and its last.
#[derive(Debug, Default)]
pub struct OffsetSet {
    blocks: BTreeMap<i64, Vec<u64>>,
}

impl OffsetSet {
    /// Adds an offset; false when it was there already.
    pub fn insert(&mut self, offset: i64) -> bool {
        let words = usize::try_from(BLOCK / 64).expect("a small number");
        let block = self.blocks.entry(offset.div_euclid(BLOCK)).or_insert_with(|| vec![0; words]);
        let (word, bit) = place(offset);
        let new = block[word] & bit == 0;
        block[word] |= bit;
        new
    }

    /// Whether it was added.
    #[must_use]
    pub fn contains(&self, offset: i64) -> bool {
        let (word, bit) = place(offset);
        self.blocks.get(&offset.div_euclid(BLOCK)).is_some_and(|block| block[word] & bit != 0)
    }
}

fn place(offset: i64) -> (usize, u64) {
    let within = offset.rem_euclid(BLOCK);
    (usize::try_from(within / 64).expect("a block is small"), 1 << (within % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_there_once_they_were_added_and_no_others() {
        let mut set = OffsetSet::default();
        let offsets = [0, 1, 63, 64, BLOCK - 1, BLOCK, 5 * BLOCK + 77, i64::MAX];
        for offset in offsets {
            assert!(!set.contains(offset) && set.insert(offset) && !set.insert(offset), "{offset}");
        }
        assert!(offsets.iter().all(|offset| set.contains(*offset)));
        assert!(!set.contains(2) && !set.contains(BLOCK + 1) && !set.contains(4 * BLOCK));
    }
}
