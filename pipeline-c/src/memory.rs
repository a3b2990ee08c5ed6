//! How `--max-memory` is shared out, so that all buffers together stay below it.

use std::sync::Arc;

use common::settings::ByteSize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// librdkafka's bookkeeping for a record that it has read ahead, beside the record's bytes.
const AHEAD_RECORD_BYTES: u64 = 512;

/// Room is given out in pieces of this size, so that the count fits a semaphore.
const PIECE_BYTES: u64 = 1024;

/// The shares of the buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Records that librdkafka has read ahead, with its bookkeeping.
    pub ahead: ByteSize,
    /// Records that are not judged yet, and rows that are not visible yet.
    pub rows: ByteSize,
    /// Files while they are encoded and uploaded.
    pub files: ByteSize,
}

impl Budget {
    /// Shares a limit out.
    #[must_use]
    pub fn of(limit: ByteSize) -> Self {
        let (ahead, files) = (limit.0 / 8, limit.0 / 4);
        let rows = ByteSize(limit.0 - ahead - files);
        Self { ahead: ByteSize(ahead), rows, files: ByteSize(files) }
    }

    /// librdkafka's settings for what it reads ahead: it counts a record's bytes, but not its bookkeeping. Small
    /// records reach the second limit, large ones the first.
    #[must_use]
    pub fn ahead_settings(&self) -> [(&'static str, String); 2] {
        let kbytes = (self.ahead.0 / 2 / 1024).clamp(1, 2_097_151);
        let records = (self.ahead.0 / 2 / AHEAD_RECORD_BYTES).clamp(1, 10_000_000);
        [("queued.max.messages.kbytes", kbytes.to_string()), ("queued.min.messages", records.to_string())]
    }
}

/// Room for files that are being written, shared by all partitions.
#[derive(Debug, Clone)]
pub struct Room {
    pieces: Arc<Semaphore>,
    total: u32,
}

impl Room {
    /// Room of this size.
    #[must_use]
    pub fn of(size: ByteSize) -> Self {
        let total = u32::try_from(size.0 / PIECE_BYTES).unwrap_or(u32::MAX).max(1);
        Self { pieces: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Waits for room and keeps it until the answer is dropped. Who wants more than there is gets all of it.
    pub async fn take(&self, bytes: u64) -> OwnedSemaphorePermit {
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX).clamp(1, self.total);
        let taken = Arc::clone(&self.pieces).acquire_many_owned(pieces).await;
        taken.expect("the semaphore is never closed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_the_whole() {
        for limit in [ByteSize(1), ByteSize(1_000_000), ByteSize::mib(256), ByteSize(u64::MAX)] {
            let budget = Budget::of(limit);
            assert_eq!(budget.ahead.0 + budget.rows.0 + budget.files.0, limit.0);
        }
        let settings = Budget::of(ByteSize::mib(256)).ahead_settings();
        assert_eq!(settings.map(|(_, value)| value), ["16384", "32768"]);
    }

    #[tokio::test]
    async fn room_is_waited_for_and_whoever_wants_too_much_gets_all() {
        let room = Room::of(ByteSize(10_000));
        let all = room.take(u64::MAX).await;
        assert_eq!(room.pieces.available_permits(), 0);
        drop(all);
        let (_one, _two) = (room.take(4_000).await, room.take(4_000).await);
        assert_eq!(room.pieces.available_permits(), 1);
    }
}
