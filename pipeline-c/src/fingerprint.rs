//! Tells whether a record is the one that was read before.

use serde::{Deserialize, Serialize};

use crate::transform::Record;

/// A record, by its offset and a hash of its timestamp, key and value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Its offset.
    pub offset: i64,
    /// Kafka's timestamp, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// FNV-1a of 64 bits, as hexadecimal digits. It is kept in state objects, so it may not change.
    pub hash: String,
}

impl Fingerprint {
    /// The fingerprint of a record.
    #[must_use]
    pub fn of(record: &Record<'_>) -> Self {
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
        hash.add(&record.timestamp_ms.to_be_bytes());
        for part in [record.key, record.value] {
            hash.add(&[u8::from(part.is_some())]);
            hash.add(&part.map_or(0, <[u8]>::len).to_be_bytes());
            hash.add(part.unwrap_or_default());
        }
        Self { offset: record.offset, timestamp_ms: record.timestamp_ms, hash: format!("{:016x}", hash.0) }
    }

    /// Whether this record stands at its offset, and is not the one that was read there.
    #[must_use]
    pub fn is_contradicted_by(&self, record: &Record<'_>) -> bool {
        self.offset == record.offset && *self != Self::of(record)
    }
}

struct Fnv(u64);

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_record_has_another_fingerprint_and_the_same_one_the_same_for_ever() {
        let record = Record { offset: 7, timestamp_ms: 9, key: Some(b"k"), value: Some(b"value") };
        assert_eq!(Fingerprint::of(&record).hash, "0cb1d7837660479e");
        for other in [
            Record { timestamp_ms: 10, ..record },
            Record { key: None, ..record },
            Record { key: Some(b""), value: Some(b"kvalue"), ..record },
            Record { value: Some(b"valuf"), ..record },
            Record { value: None, ..record },
        ] {
            assert_ne!(Fingerprint::of(&other), Fingerprint::of(&record), "{other:?}");
        }
    }
}
