//! Files with their footers, which are read once a version.

use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};
use common::lake::{Lake, LakeError};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::file::metadata::ParquetMetaData;

use super::blocks::{BlockFile, Blocks};
use super::cache::{self, Cache, Weigh};
use super::listing::FileRef;

/// A table's columns that are read, with their kinds.
pub type Columns = [(&'static str, Kind)];

/// The contract's column types.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Int32,
    Double,
    Text,
    /// Microseconds; UTC, whatever the zone is called.
    Time,
}

impl Kind {
    fn is(self, found: &DataType) -> bool {
        match self {
            Self::Int32 => *found == DataType::Int32,
            Self::Double => *found == DataType::Float64,
            Self::Text => *found == DataType::Utf8,
            Self::Time => matches!(found, DataType::Timestamp(TimeUnit::Microsecond, _)),
        }
    }
}

/// A file that is known to have the table's columns.
#[derive(Clone)]
pub struct OpenFile {
    file: BlockFile,
    footer: ArrowReaderMetadata,
    footer_bytes: u64,
}

impl Weigh for OpenFile {
    fn bytes(&self) -> u64 {
        self.footer_bytes
    }
}

impl OpenFile {
    pub fn footer(&self) -> &Arc<ParquetMetaData> {
        self.footer.metadata()
    }

    /// Rows in the file.
    pub fn rows(&self) -> usize {
        usize::try_from(self.footer().file_metadata().num_rows()).unwrap_or(usize::MAX)
    }

    /// Which of the file's columns this is.
    pub fn column(&self, name: &str) -> usize {
        let columns = self.footer().file_metadata().schema_descr().columns();
        columns.iter().position(|column| column.name() == name).expect("checked when the file was opened")
    }

    /// These columns alone.
    pub fn projection(&self, columns: &Columns) -> ProjectionMask {
        let schema = self.footer().file_metadata().schema_descr();
        ProjectionMask::leaves(schema, columns.iter().map(|(name, _)| self.column(name)))
    }

    /// A reader of these columns.
    pub fn reader(&self, columns: &Columns) -> ParquetRecordBatchStreamBuilder<BlockFile> {
        ParquetRecordBatchStreamBuilder::new_with_metadata(self.file.clone(), self.footer.clone())
            .with_projection(self.projection(columns))
    }

    /// The reader's error as the lake's.
    pub fn fault(&self, error: parquet::errors::ParquetError) -> LakeError {
        LakeError::from_parquet(self.file.path(), error)
    }

    pub fn damaged(&self, reason: impl Into<String>) -> LakeError {
        LakeError::Damaged { path: self.file.path().to_owned(), reason: reason.into() }
    }
}

/// Opens files and keeps their footers and some of their bytes.
pub struct OpenFiles {
    lake: Lake,
    open: Cache<FileRef, OpenFile>,
    blocks: Arc<Blocks>,
}

impl OpenFiles {
    /// Keeps up to so many bytes of footers and of blocks.
    pub fn new(lake: Lake, footer_bytes: u64, block_bytes: u64) -> Self {
        Self { lake, open: cache::bounded(footer_bytes), blocks: cache::bounded(block_bytes).into() }
    }

    /// The file, which must have `columns`.
    pub async fn open(&self, file: &FileRef, columns: &Columns) -> Result<OpenFile, LakeError> {
        if let Some(open) = self.open.get(file) {
            return Ok(open);
        }
        // Boxed here, so that the way past the cache stays small.
        Box::pin(self.open.get_or_insert_async(file, self.read_footer(file, columns))).await
    }

    async fn read_footer(&self, file: &FileRef, columns: &Columns) -> Result<OpenFile, LakeError> {
        let footer = self.lake.file(file.0.as_ref().clone()).footer().await?;
        let footer_bytes = u64::try_from(footer.memory_size()).unwrap_or(u64::MAX);
        // The types are the file's own, whatever the writer's Arrow types were.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(&footer), options)
            .map_err(|error| LakeError::from_parquet(&file.0.path, error))?;
        for (name, expected) in columns {
            let reason = match metadata.schema().field_with_name(name) {
                Ok(field) if expected.is(field.data_type()) => continue,
                Ok(field) => format!("column {name} is {}, not {expected:?}", field.data_type()),
                Err(_) => format!("column {name} is missing"),
            };
            return Err(LakeError::Damaged { path: file.0.path.clone(), reason });
        }
        let file = BlockFile::new(self.lake.clone(), file.clone(), footer, Arc::clone(&self.blocks));
        Ok(OpenFile { file, footer: metadata, footer_bytes })
    }
}
