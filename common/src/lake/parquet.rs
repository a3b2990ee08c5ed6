//! Parquet files in the lake, read by range.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::{Lake, LakeError, ObjectMeta};

/// Read first, in the hope that it holds the whole footer.
const FOOTER_GUESS_BYTES: u64 = 64 * 1024;

/// Reading this much in vain takes less time than another request.
const GAP_BYTES: u64 = 256 * 1024;

/// Above this, several requests side by side are faster than one.
const REQUEST_BYTES: u64 = 4 * 1024 * 1024;

/// One Parquet file, its content pinned to the version that was listed.
#[derive(Debug, Clone)]
pub struct LakeFile {
    lake: Lake,
    meta: ObjectMeta,
    footer: Option<Arc<ParquetMetaData>>,
}

impl LakeFile {
    pub(super) fn new(lake: Lake, meta: ObjectMeta) -> Self {
        Self { lake, meta, footer: None }
    }

    /// The same file with a footer that was read before.
    #[must_use]
    pub fn with_footer(mut self, footer: Arc<ParquetMetaData>) -> Self {
        self.footer = Some(footer);
        self
    }

    /// Which object this is.
    #[must_use]
    pub fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    /// The file's footer: schema, row groups and pages with their statistics, key-value metadata.
    pub async fn footer(&mut self) -> std::result::Result<Arc<ParquetMetaData>, LakeError> {
        self.read_footer().await.map_err(|error| from_parquet(&self.meta.path, error))
    }

    async fn read_footer(&mut self) -> Result<Arc<ParquetMetaData>> {
        if let Some(footer) = &self.footer {
            return Ok(Arc::clone(footer));
        }
        let size = self.meta.size;
        let mut wanted = FOOTER_GUESS_BYTES.min(size);
        // The page index lies right before the footer and mostly comes with the same read.
        let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        loop {
            let tail = self.lake.get_range(&self.meta.path, &self.meta.version, size - wanted..size).await?;
            match reader.try_parse_sized(&tail, size) {
                Ok(()) => break,
                Err(ParquetError::NeedMoreData(needed))
                    if needed as u64 > wanted && needed as u64 <= size =>
                {
                    wanted = needed as u64;
                }
                Err(error) => return Err(error),
            }
        }
        let footer = Arc::new(reader.finish()?);
        self.footer = Some(Arc::clone(&footer));
        Ok(footer)
    }
}

/// A lake's error comes back as it was; anything else means that the file is damaged.
pub(super) fn from_parquet(path: &str, error: ParquetError) -> LakeError {
    match error {
        ParquetError::External(cause) => match cause.downcast::<LakeError>() {
            Ok(error) => *error,
            Err(other) => LakeError::Damaged { path: path.to_owned(), reason: other.to_string() },
        },
        other => LakeError::Damaged { path: path.to_owned(), reason: other.to_string() },
    }
}

impl LakeError {
    /// The lake's error inside a Parquet reader's.
    #[must_use]
    pub fn from_parquet(path: &str, error: ParquetError) -> Self {
        from_parquet(path, error)
    }
}

impl AsyncFileReader for LakeFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move { Ok(self.lake.get_range(&self.meta.path, &self.meta.version, range).await?) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            let whole = merged(&ranges);
            let reads = whole
                .iter()
                .map(|range| self.lake.get_range(&self.meta.path, &self.meta.version, range.clone()));
            let read = futures::future::try_join_all(reads).await?;
            ranges.iter().map(|range| part(&whole, &read, range)).collect()
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        self.read_footer().boxed()
    }
}

/// The ranges in order, those near each other as one.
fn merged(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last)
                if range.start <= last.end.saturating_add(GAP_BYTES)
                    && range.end.saturating_sub(last.start) <= REQUEST_BYTES =>
            {
                last.end = last.end.max(range.end);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// The bytes of `range` out of what was read.
fn part(whole: &[Range<u64>], read: &[Bytes], range: &Range<u64>) -> Result<Bytes> {
    let at = whole.partition_point(|whole| whole.start <= range.start).saturating_sub(1);
    let offset = |position: u64| {
        usize::try_from(position - whole[at].start).map_err(|e| ParquetError::External(e.into()))
    };
    Ok(read[at].slice(offset(range.start)?..offset(range.end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_near_each_other_are_read_at_once_and_each_gets_its_bytes() {
        let far = GAP_BYTES + 1_000;
        let ranges = [far..far + 5, 0..10, 20..30, 25..40, far + 5..far + 9];
        let whole = merged(&ranges);
        assert_eq!(whole, [0..40, far..far + 9]);
        let large = REQUEST_BYTES;
        assert_eq!(merged(&[0..large, large..large + 1]), [0..large, large..large + 1]);
        let content: Vec<u8> = (0..far + 9).map(|position| (position % 251).to_le_bytes()[0]).collect();
        let bytes = |range: &Range<u64>| {
            Bytes::copy_from_slice(
                &content[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()],
            )
        };
        let read: Vec<Bytes> = whole.iter().map(bytes).collect();
        for range in &ranges {
            assert_eq!(part(&whole, &read, range).unwrap(), bytes(range));
        }
    }
}
