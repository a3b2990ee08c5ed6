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
            let reads = ranges
                .into_iter()
                .map(|range| self.lake.get_range(&self.meta.path, &self.meta.version, range));
            Ok(futures::future::try_join_all(reads).await?)
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
