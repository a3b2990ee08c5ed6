//! Records on their way from the consumer to their partition's worker.

use crate::transform::Record;

/// A chunk of this size is handed over at once; smaller ones when nothing else arrives.
const FULL_BYTES: usize = 256 * 1024;
const FULL_RECORDS: usize = 2_048;

/// Records of one partition, in one piece of memory.
#[derive(Debug, Default)]
pub struct Chunk {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: i64,
    timestamp_ms: i64,
    start: usize,
    key_bytes: Option<usize>,
    value_bytes: Option<usize>,
}

impl Chunk {
    /// Empty, with room for a full one.
    #[must_use]
    pub fn roomy() -> Self {
        Self { bytes: Vec::with_capacity(FULL_BYTES), entries: Vec::with_capacity(FULL_RECORDS) }
    }

    /// Adds a copy of a record.
    pub fn push(&mut self, record: &Record<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record.key.unwrap_or_default());
        self.bytes.extend_from_slice(record.value.unwrap_or_default());
        self.entries.push(Entry {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            start,
            key_bytes: record.key.map(<[u8]>::len),
            value_bytes: record.value.map(<[u8]>::len),
        });
    }

    /// The record at this place.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        let entry = self.entries.get(index)?;
        let value_start = entry.start + entry.key_bytes.unwrap_or(0);
        Some(Record {
            offset: entry.offset,
            timestamp_ms: entry.timestamp_ms,
            key: entry.key_bytes.map(|_| &self.bytes[entry.start..value_start]),
            value: entry.value_bytes.map(|length| &self.bytes[value_start..value_start + length]),
        })
    }

    /// Whether it is to be handed over.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES || self.entries.len() >= FULL_RECORDS
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes in memory.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        (self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in() {
        let records = [
            (Some(&b"key"[..]), Some(&b"value"[..])),
            (None, Some(b"")),
            (Some(b""), None),
            (None, None),
            (None, Some(b"last")),
        ];
        let mut chunk = Chunk::default();
        for (offset, (key, value)) in (0..).zip(records) {
            chunk.push(&Record { offset, timestamp_ms: 5, key, value });
        }
        for (index, expected) in records.into_iter().enumerate() {
            let record = chunk.get(index).unwrap();
            assert_eq!((record.key, record.value), expected);
        }
        assert!(chunk.get(records.len()).is_none());
    }
}
