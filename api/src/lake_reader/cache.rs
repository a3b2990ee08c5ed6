//! A cache bounded by the bytes it holds; one loader a key, the others wait for it.

use std::hash::Hash;
use std::sync::Arc;

use quick_cache::Weighter;

/// What an entry takes besides its value: key, version and path of its file, the cache's own bookkeeping.
const ENTRY_BYTES: u64 = 400;

/// Entries the cache prepares for: a typical value is a few kilobytes.
const TYPICAL_BYTES: u64 = 4 << 10;

pub type Cache<K, V> = quick_cache::sync::Cache<K, V, ByBytes>;

/// A cached value's size in memory.
pub trait Weigh {
    fn bytes(&self) -> u64;
}

impl<T: Weigh> Weigh for Arc<[T]> {
    fn bytes(&self) -> u64 {
        self.iter().map(Weigh::bytes).sum()
    }
}

#[derive(Clone)]
pub struct ByBytes;

impl<K, V: Weigh> Weighter<K, V> for ByBytes {
    fn weight(&self, _: &K, value: &V) -> u64 {
        ENTRY_BYTES + value.bytes()
    }
}

/// An empty cache that holds up to `bytes`.
pub fn bounded<K: Eq + Hash, V: Clone + Weigh>(bytes: u64) -> Cache<K, V> {
    let entries = usize::try_from(bytes / TYPICAL_BYTES).unwrap_or(usize::MAX);
    Cache::with_weighter(entries, bytes, ByBytes)
}
