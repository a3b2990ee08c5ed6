//! Row for row.

use std::collections::BTreeMap;
use std::fmt::Debug;

/// Differences that a failure shows.
const SHOWN: usize = 5;

/// Asserts that both have the same keys and values, and shows the first rows that differ.
pub fn assert_same<K: Ord + Debug, V: PartialEq + Debug>(found: &BTreeMap<K, V>, expected: &BTreeMap<K, V>) {
    let missing = expected
        .keys()
        .filter(|key| !found.contains_key(key))
        .map(|key| format!("{key:?} is missing, expected {:?}", expected[key]));
    let others = found.iter().filter_map(|(key, row)| match expected.get(key) {
        Some(wanted) if wanted == row => None,
        Some(wanted) => Some(format!("{key:?}\n     found {row:?}\n  expected {wanted:?}")),
        None => Some(format!("{key:?} should not be there: {row:?}")),
    });
    let differences: Vec<String> = missing.chain(others).collect();
    assert!(
        differences.is_empty(),
        "{} of {} rows differ:\n{}",
        differences.len(),
        expected.len(),
        differences[..differences.len().min(SHOWN)].join("\n")
    );
}

/// The keys whose values differ between the two, or that only one has.
#[must_use]
pub fn changed<K: Ord + Clone, V: PartialEq>(before: &BTreeMap<K, V>, after: &BTreeMap<K, V>) -> Vec<K> {
    let mut keys: Vec<K> = after.keys().filter(|key| before.get(key) != after.get(key)).cloned().collect();
    keys.extend(before.keys().filter(|key| !after.contains_key(key)).cloned());
    keys.sort();
    keys
}
