//! Summaries as a Parquet file.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use common::quality::Catalog;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::transform::Summary;

/// Rows in a row group: enough to compress, few enough that one customer is found by reading little.
const ROW_GROUP_ROWS: usize = 20_000;

/// The columns of `txn_summary`; `date` is in the path only.
#[must_use]
pub fn summary_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("customer_id", DataType::Int32, false),
        Field::new("total_amount", DataType::Float64, false),
        Field::new("total_items", DataType::Int32, false),
        Field::new("distinct_products", DataType::Int32, false),
        Field::new("top_category", DataType::Utf8, false),
    ]))
}

/// A whole file with these summaries, which come by customer; `run_id` goes into the footer.
pub fn encode(summaries: &[Summary], catalog: &Catalog, run_id: &str) -> Result<Vec<u8>, ParquetError> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(summaries.iter().map(|s| s.customer_id.0))),
        Arc::new(Float64Array::from_iter_values(summaries.iter().map(Summary::total_amount))),
        Arc::new(Int32Array::from_iter_values(summaries.iter().map(|s| s.total_items))),
        Arc::new(Int32Array::from_iter_values(summaries.iter().map(|s| s.distinct_products))),
        Arc::new(StringArray::from_iter_values(summaries.iter().map(|s| catalog.category(s.top_category)))),
    ];
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_key_value_metadata(Some(vec![KeyValue::new("tributary.run_id".to_owned(), run_id.to_owned())]))
        .build();
    let batch = RecordBatch::try_new(summary_schema(), columns)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), summary_schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.into_inner()
}
