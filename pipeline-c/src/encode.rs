//! Rows to Parquet: sorted, in small row groups, merged with the file that they replace.

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use bytes::Bytes;
use common::lake::{LakeError, LakeFile, StageWriter, Staged};
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use parquet::arrow::async_writer::{AsyncArrowWriter, AsyncFileWriter};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::batch::Output;
use crate::place::{Place, Stream};

/// Rows in a row group, the contract's limit: small enough that statistics find a customer.
pub const ROW_GROUP_ROWS: usize = 20_000;

/// Rows in a page of `events`.
const PAGE_ROWS: usize = 1_000;

/// Malformed records may be large; a row group is held in memory until it is full.
const ROW_GROUP_BYTES: usize = 16 * 1024 * 1024;

/// Column of `events` by which files are sorted.
pub const CUSTOMER_ID: usize = 1;

/// What the footer says besides the columns.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    /// Which partition.
    pub place: &'a Place,
    /// Offset of the file's first record.
    pub first_offset: i64,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Name of the content.
    pub commit: &'a str,
}

/// Writes the rows of `tail`, if there is one, and of `output` as one file; returns it and its number of rows.
///
/// Memory holds the output and a row group or two, however large the tail is.
pub async fn write(
    tail: Option<LakeFile>,
    output: &Output,
    label: Label<'_>,
    to: StageWriter,
    path: &str,
) -> std::result::Result<(Staged, u64), LakeError> {
    let mut writer = open(output, label, to).map_err(|error| LakeError::from_parquet(path, error))?;
    let written = match output.stream {
        Stream::Events => merge_sorted(tail, &output.rows, &mut writer).await,
        Stream::Malformed => append(tail, &output.rows, &mut writer).await,
    };
    let footer = match written {
        Ok(()) => writer.finish().await,
        Err(error) => Err(error),
    };
    let rows = footer.map_err(|error| LakeError::from_parquet(path, error))?.file_metadata().num_rows();
    Ok((writer.into_inner().into_writer().finish().await?, u64::try_from(rows).unwrap_or_default()))
}

/// Begins a file; of `output`, only the stream and the schema matter.
pub fn open(output: &Output, label: Label<'_>, to: StageWriter) -> Result<Writer> {
    let pair = |key: &str, value: String| KeyValue::new(format!("tributary.{key}"), value);
    let metadata = vec![
        pair("topic", label.place.topic.to_string()),
        pair("partition", label.place.partition.0.to_string()),
        pair("first_offset", label.first_offset.to_string()),
        pair("last_offset", label.last_offset.to_string()),
        pair("commit", label.commit.to_owned()),
        pair("writer", concat!("pipeline-c ", env!("CARGO_PKG_VERSION")).to_owned()),
    ];
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("tributary pipeline-c ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_key_value_metadata(Some(metadata));
    // A dictionary pays where values repeat; ids and bytes do not.
    for column in ["event_id", "event_timestamp", "offset", "kafka_timestamp", "key", "value"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), false);
    }
    if output.stream == Stream::Events {
        let sorted = SortingColumn { column_idx: 1, descending: false, nulls_first: false };
        // With bounds for each page a reader that looks for one customer reads a page, not a row group.
        properties = properties
            .set_sorting_columns(Some(vec![sorted]))
            .set_column_statistics_enabled(ColumnPath::from("customer_id"), EnabledStatistics::Page)
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_write_batch_size(PAGE_ROWS);
    }
    AsyncArrowWriter::try_new(Sink(to), output.rows.schema(), Some(properties.build()))
}

/// Two sorted inputs, one sorted output: the tail by row groups, each with the new rows that belong before its end.
async fn merge_sorted(tail: Option<LakeFile>, rows: &RecordBatch, writer: &mut Writer) -> Result<()> {
    let order = sorted_order(rows);
    let customers = rows.column(CUSTOMER_ID).as_primitive::<Int32Type>().values();
    let mut rest = order.as_slice();
    if let Some(tail) = tail {
        let mut batches = read(tail).await?;
        while let Some(batch) = batches.try_next().await? {
            let ids = batch.column(CUSTOMER_ID).as_primitive::<Int32Type>().values();
            let last = ids.last().copied().unwrap_or(i32::MIN);
            let (before, after) = rest.split_at(rest.partition_point(|row| customers[*row as usize] <= last));
            rest = after;
            let batch = if before.is_empty() {
                batch
            } else {
                let both = concat_batches(&rows.schema(), &[batch, taken(rows, before)?])?;
                let order = sorted_order(&both);
                taken(&both, &order)?
            };
            write_pieces(writer, &batch).await?;
        }
    }
    for piece in rest.chunks(ROW_GROUP_ROWS) {
        writer.write(&taken(rows, piece)?).await?;
    }
    Ok(())
}

async fn append(tail: Option<LakeFile>, rows: &RecordBatch, writer: &mut Writer) -> Result<()> {
    if let Some(tail) = tail {
        let mut batches = read(tail).await?;
        while let Some(batch) = batches.try_next().await? {
            writer.write(&batch).await?;
        }
    }
    write_pieces(writer, rows).await
}

/// Writes rows. Small writes, so that the buffer of encoded bytes stays small.
pub async fn write_pieces(writer: &mut Writer, rows: &RecordBatch) -> Result<()> {
    let mut from = 0;
    while from < rows.num_rows() {
        let piece = rows.slice(from, ROW_GROUP_ROWS.min(rows.num_rows() - from));
        writer.write(&piece).await?;
        from += piece.num_rows();
    }
    Ok(())
}

/// The rows of a file.
pub async fn read(
    tail: LakeFile,
) -> Result<parquet::arrow::async_reader::ParquetRecordBatchStream<LakeFile>> {
    let builder = ParquetRecordBatchStreamBuilder::new(tail).await?;
    builder.with_projection(ProjectionMask::all()).with_batch_size(ROW_GROUP_ROWS).build()
}

/// Row numbers by customer; the order of a customer's rows stays.
pub fn sorted_order(rows: &RecordBatch) -> Vec<u32> {
    let customers = rows.column(CUSTOMER_ID).as_primitive::<Int32Type>().values();
    let mut order: Vec<(i32, u32)> = customers.iter().copied().zip(0..).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, row)| row).collect()
}

/// The rows in this order.
pub fn taken(rows: &RecordBatch, order: &[u32]) -> Result<RecordBatch> {
    let order = UInt32Array::from_iter_values(order.iter().copied());
    debug_assert_eq!(order.null_count(), 0);
    Ok(take_record_batch(rows, &order)?)
}

/// Writes a file of the lake.
pub type Writer = AsyncArrowWriter<Sink>;

/// Takes encoded bytes to the lake.
pub struct Sink(StageWriter);

impl Sink {
    /// What the bytes went to.
    pub fn into_writer(self) -> StageWriter {
        self.0
    }
}

impl AsyncFileWriter for Sink {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        async move { self.0.write(bytes).await.map_err(ParquetError::from) }.boxed()
    }

    fn complete(&mut self) -> BoxFuture<'_, Result<()>> {
        futures::future::ready(Ok(())).boxed()
    }
}
