//! A file's bytes in blocks that stay in memory, so that the next customer of the same pages costs no request.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use common::lake::{Lake, LakeError};
use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::ParquetMetaData;

use super::cache::{Cache, Weigh};
use super::listing::FileRef;

/// Reading this much takes hardly longer than a request for less, and ranges near each other become one request.
const BLOCK_BYTES: u64 = 256 * 1024;

/// Blocks of files by number; a block never changes under its version.
pub type Blocks = Cache<BlockKey, Bytes>;

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BlockKey {
    file: FileRef,
    number: u64,
}

impl Weigh for Bytes {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }
}

/// One content of a file, read through the blocks in memory.
#[derive(Clone)]
pub struct BlockFile {
    lake: Lake,
    file: FileRef,
    footer: Arc<ParquetMetaData>,
    blocks: Arc<Blocks>,
}

impl BlockFile {
    pub fn new(lake: Lake, file: FileRef, footer: Arc<ParquetMetaData>, blocks: Arc<Blocks>) -> Self {
        Self { lake, file, footer, blocks }
    }

    /// Path below the lake's root.
    pub fn path(&self) -> &str {
        &self.file.0.path
    }

    async fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, LakeError> {
        let mut blocks: BTreeMap<u64, Option<Bytes>> = BTreeMap::new();
        for number in ranges.iter().flat_map(numbers) {
            blocks.entry(number).or_insert_with(|| self.blocks.get(&self.key(number)));
        }
        let missing = runs(blocks.iter().filter(|(_, block)| block.is_none()).map(|(number, _)| *number));
        let meta = &self.file.0;
        let read = try_join_all(missing.iter().map(|run| {
            let end = (run.end * BLOCK_BYTES).min(meta.size);
            self.lake.get_range(&meta.path, &meta.version, run.start * BLOCK_BYTES..end)
        }));
        // Boxed here, so that the way past the store stays small.
        for (run, bytes) in missing.iter().zip(Box::pin(read).await?) {
            for (number, block) in run.clone().zip(bytes.chunks(size(BLOCK_BYTES))) {
                // Copied, so that a block that stays does not hold on to those that went.
                let block = Bytes::copy_from_slice(block);
                self.blocks.insert(self.key(number), block.clone());
                blocks.insert(number, Some(block));
            }
        }
        ranges.iter().map(|range| assembled(&blocks, range).ok_or_else(|| self.too_short(range))).collect()
    }

    fn key(&self, number: u64) -> BlockKey {
        BlockKey { file: self.file.clone(), number }
    }

    fn too_short(&self, range: &Range<u64>) -> LakeError {
        let reason = format!("its footer names bytes {range:?}, and it has {}", self.file.0.size);
        LakeError::Damaged { path: self.file.0.path.clone(), reason }
    }
}

impl AsyncFileReader for BlockFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move { Ok(self.read(&[range]).await?.remove(0)) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move { Ok(self.read(&ranges).await?) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let footer = Arc::clone(&self.footer);
        async move { Ok(footer) }.boxed()
    }
}

/// The blocks that a range touches.
fn numbers(range: &Range<u64>) -> Range<u64> {
    range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES)
}

/// Ascending numbers as ranges of neighbours.
fn runs(numbers: impl Iterator<Item = u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(last) if last.end == number => last.end += 1,
            _ => runs.push(number..number + 1),
        }
    }
    runs
}

/// The bytes of `range` out of their blocks; `None` when the file ends before.
fn assembled(blocks: &BTreeMap<u64, Option<Bytes>>, range: &Range<u64>) -> Option<Bytes> {
    let part = |number: u64| {
        let start = number * BLOCK_BYTES;
        let block = blocks.get(&number)?.as_ref()?;
        let (from, to) = (range.start.saturating_sub(start), (range.end - start).min(BLOCK_BYTES));
        (size(to) <= block.len()).then(|| block.slice(size(from)..size(to)))
    };
    let touched = numbers(range);
    if touched.end - touched.start == 1 {
        return part(touched.start);
    }
    let mut whole = BytesMut::with_capacity(size(range.end - range.start));
    for number in touched {
        whole.extend_from_slice(&part(number)?);
    }
    Some(whole.freeze())
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_put_together_from_its_blocks() {
        let content: Vec<u8> = (0..2 * BLOCK_BYTES + 100).map(|at| (at % 251).to_le_bytes()[0]).collect();
        let blocks =
            (0..).zip(content.chunks(size(BLOCK_BYTES)).map(|block| Some(Bytes::copy_from_slice(block))));
        let blocks: BTreeMap<u64, Option<Bytes>> = blocks.collect();
        let end = content.len() as u64;
        let ranges = [
            0..10,
            5..BLOCK_BYTES,
            BLOCK_BYTES..BLOCK_BYTES + 1,
            BLOCK_BYTES - 1..2 * BLOCK_BYTES + 1,
            7..end,
            end - 1..end,
        ];
        for range in ranges {
            let expected = &content[size(range.start)..size(range.end)];
            assert_eq!(assembled(&blocks, &range).as_deref(), Some(expected), "{range:?}");
        }
        assert_eq!(assembled(&blocks, &(end - 1..end + 1)), None);
        assert_eq!(assembled(&blocks, &(5 * BLOCK_BYTES..6 * BLOCK_BYTES)), None);
    }

    #[test]
    fn neighbours_are_read_together() {
        assert_eq!(runs([1, 2, 3, 7, 9, 10].into_iter()), [1..4, 7..8, 9..11]);
        assert_eq!(numbers(&(BLOCK_BYTES - 1..BLOCK_BYTES + 1)), 0..2);
    }
}
