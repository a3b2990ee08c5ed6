//! One customer's rows in one file, without reading the rest of it.

use arrow_array::{Array, BooleanArray, Int32Array, RecordBatch};
use common::lake::LakeError;
use common::schema::CustomerId;
use futures::TryStreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowPredicateFn, RowFilter, RowGroupSelection, RowSelection};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use super::open_files::{Columns, OpenFile};

/// The column that both tables are sorted by.
pub const CUSTOMER_ID: &str = "customer_id";

/// Rows decoded at a time.
const BATCH_ROWS: usize = 8_192;

/// Gives each batch of the customer's rows to `take`.
pub async fn each_batch_of(
    customer: CustomerId,
    file: &OpenFile,
    columns: &Columns,
    mut take: impl FnMut(&RecordBatch) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    let key = file.column(CUSTOMER_ID);
    let groups = groups_with(customer, file.footer(), key);
    if groups.is_empty() {
        return Ok(());
    }
    let only_key = ProjectionMask::leaves(file.footer().file_metadata().schema_descr(), [key]);
    let is_theirs = ArrowPredicateFn::new(only_key, move |batch: RecordBatch| {
        let ids = batch.column(0).as_any().downcast_ref::<Int32Array>();
        let ids = ids.expect("the column's type was checked when the file was opened");
        Ok(BooleanArray::from_unary(ids, |id| id == customer.0))
    });
    let batches = file
        .reader(columns)
        .with_row_group_selections(groups)
        .with_row_filter(RowFilter::new(vec![Box::new(is_theirs)]))
        .with_batch_size(BATCH_ROWS)
        .build();
    let mut batches = batches.map_err(|error| file.fault(error))?;
    while let Some(batch) = batches.try_next().await.map_err(|error| file.fault(error))? {
        take(&batch)?;
    }
    Ok(())
}

/// The row groups whose statistics allow the customer, and in them the pages whose statistics do.
fn groups_with(customer: CustomerId, footer: &ParquetMetaData, key: usize) -> Vec<RowGroupSelection> {
    let groups = footer.row_groups().iter().enumerate();
    groups
        .filter(|(_, group)| may_hold(customer, group.column(key).statistics()))
        .filter_map(|(index, group)| match pages_with(customer, footer, group, index, key) {
            None => Some(RowGroupSelection::new(index, None)),
            Some(pages) => pages.selects_any().then(|| RowGroupSelection::new(index, Some(pages))),
        })
        .collect()
}

/// A group without statistics may hold anyone.
fn may_hold(customer: CustomerId, statistics: Option<&Statistics>) -> bool {
    let Some(Statistics::Int32(ids)) = statistics else { return true };
    ids.min_opt().is_none_or(|min| *min <= customer.0) && ids.max_opt().is_none_or(|max| *max >= customer.0)
}

/// The rows of the pages that may hold the customer; `None` when the file has no page index.
fn pages_with(
    customer: CustomerId,
    footer: &ParquetMetaData,
    group: &RowGroupMetaData,
    index: usize,
    key: usize,
) -> Option<RowSelection> {
    let pages = footer.page_index_for_row_group(index);
    let Some(ColumnIndexMetaData::INT32(ids)) = pages.column_index(key) else { return None };
    let starts = pages.page_locations(key)?.iter().map(|page| usize::try_from(page.first_row_index));
    let starts = starts.collect::<Result<Vec<_>, _>>().ok()?;
    let rows = usize::try_from(group.num_rows()).ok()?;
    if starts.len() != ids.min_values().len() {
        return None;
    }
    let ends = starts.iter().skip(1).copied().chain([rows]);
    let held = starts.iter().zip(ends).enumerate().filter_map(|(page, (start, end))| {
        let below = ids.min_value(page).is_none_or(|min| *min <= customer.0);
        let above = ids.max_value(page).is_none_or(|max| *max >= customer.0);
        (below && above).then_some(*start..end)
    });
    Some(RowSelection::from_consecutive_ranges(held, rows))
}

/// A column of `batch` by its name; types were checked when the file was opened.
pub fn column<'a, T: Array + 'static>(batch: &'a RecordBatch, name: &str) -> &'a T {
    let column = batch.column_by_name(name).expect("the projection holds it");
    column.as_any().downcast_ref().expect("its type was checked when the file was opened")
}
