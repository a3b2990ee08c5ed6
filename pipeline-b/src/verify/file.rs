//! Compares a date's file, as it stands in the lake, with the date's summaries.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type};
use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray, RecordBatch};
use arrow_schema::Schema;
use chrono::NaiveDate;
use common::lake::{Lake, LakeError, ObjectMeta};
use common::quality::Catalog;
use common::schema::CustomerId;
use common::verify::{Column, Findings};
use futures::TryStreamExt;
use parquet::arrow::ParquetRecordBatchStreamBuilder;

use super::difference::Difference;
use crate::load::path_of;
use crate::parquet::summary_schema;
use crate::transform::Summary;

/// Compares the file of `date`, if there is one, with the summaries that it should hold, which come by customer.
pub async fn compare(
    lake: &Lake,
    date: NaiveDate,
    file: Option<ObjectMeta>,
    expected: &[Summary],
    catalog: &Catalog,
) -> Result<Findings<Difference>, LakeError> {
    let path = path_of(date);
    let mut findings = Findings::brief();
    match file {
        None if expected.is_empty() => {}
        None => {
            findings.add(Difference::file("file_missing", &path, "is missing"));
        }
        Some(_) if expected.is_empty() => {
            let reason = "should not be there: its date has no accepted transaction";
            findings.add(Difference::file("file_extra", &path, reason));
        }
        Some(file) => {
            let mut rows = Rows { date, path: &path, expected, catalog, next: 0, last: None, findings };
            match rows.compare(lake, file).await {
                Err(LakeError::Damaged { reason, .. }) => {
                    let reason = format!("cannot be read: {reason}");
                    rows.findings.add(Difference::file("file_unreadable", &path, reason));
                }
                result => result?,
            }
            findings = rows.findings;
        }
    }
    Ok(findings)
}

/// The rows of a file against those that it should hold.
struct Rows<'a> {
    date: NaiveDate,
    path: &'a str,
    expected: &'a [Summary],
    catalog: &'a Catalog,
    /// Expected rows before this one were met, or are missing.
    next: usize,
    last: Option<CustomerId>,
    findings: Findings<Difference>,
}

impl Rows<'_> {
    async fn compare(&mut self, lake: &Lake, file: ObjectMeta) -> Result<(), LakeError> {
        let damaged = |error| LakeError::from_parquet(self.path, error);
        let builder = ParquetRecordBatchStreamBuilder::new(lake.file(file)).await.map_err(damaged)?;
        let (found, wanted) = (columns(builder.schema()), columns(&summary_schema()));
        if found != wanted {
            let reason = format!("has the columns {found}, should have {wanted}");
            self.findings.add(Difference::file("file_schema", self.path, reason));
            return Ok(());
        }
        let mut batches = builder.build().map_err(damaged)?;
        while let Some(batch) = batches.try_next().await.map_err(damaged)? {
            if !self.compare_batch(&batch) {
                return Ok(());
            }
        }
        self.missing_until(self.expected.len());
        Ok(())
    }

    /// `false` when the rest cannot be compared.
    fn compare_batch(&mut self, batch: &RecordBatch) -> bool {
        let ids = batch.column(0).as_primitive::<Int32Type>();
        for row in 0..batch.num_rows() {
            let Some(id) = value(ids, row).map(CustomerId) else {
                self.note("row_extra", None, Vec::new());
                continue;
            };
            if self.last.is_some_and(|last| id < last) {
                let reason = format!("is not sorted: customer {id} comes too late");
                // What was noted about single rows may be for the order only.
                self.findings = Findings::brief();
                self.findings.add(Difference::file("file_unsorted", self.path, reason));
                return false;
            }
            self.last = Some(id);
            let place = self.next + self.expected[self.next..].partition_point(|s| s.customer_id < id);
            self.missing_until(place);
            match self.expected.get(place) {
                Some(expected) if expected.customer_id == id => {
                    self.next = place + 1;
                    let columns = differences(batch, row, expected, self.catalog);
                    if !columns.is_empty() {
                        self.note("row", Some(id), columns);
                    }
                }
                _ => self.note("row_extra", Some(id), Vec::new()),
            }
        }
        true
    }

    fn missing_until(&mut self, place: usize) {
        for summary in self.next..place {
            self.note("row_missing", Some(self.expected[summary].customer_id), Vec::new());
        }
        self.next = place;
    }

    fn note(&mut self, difference: &'static str, customer_id: Option<CustomerId>, columns: Vec<Column>) {
        self.findings.add(Difference::Row { difference, date: self.date, customer_id, columns });
    }
}

/// Names and types, in order.
fn columns(schema: &Schema) -> String {
    let columns = schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type()));
    columns.collect::<Vec<_>>().join(", ")
}

fn value<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    column.is_valid(row).then(|| column.value(row))
}

fn differences(batch: &RecordBatch, row: usize, expected: &Summary, catalog: &Catalog) -> Vec<Column> {
    let int = |column: usize| value(batch.column(column).as_primitive::<Int32Type>(), row);
    let amount = value(batch.column(1).as_primitive::<Float64Type>(), row);
    let (items, products) = (int(2), int(3));
    let categories = batch.column(4).as_string::<i32>();
    let category = categories.is_valid(row).then(|| categories.value(row));

    let top_category = catalog.category(expected.top_category);
    let same = amount.map(f64::to_bits) == Some(expected.total_amount().to_bits())
        && items == Some(expected.total_items)
        && products == Some(expected.distinct_products)
        && category == Some(top_category);
    if same {
        return Vec::new();
    }
    let shown = |value: Option<String>| value.unwrap_or_else(|| "null".to_owned());
    [
        Column::compare("total_amount", shown(amount.map(|v| v.to_string())), expected.total_amount()),
        Column::compare("total_items", shown(items.map(|v| v.to_string())), expected.total_items),
        Column::compare(
            "distinct_products",
            shown(products.map(|v| v.to_string())),
            expected.distinct_products,
        ),
        Column::compare("top_category", shown(category.map(str::to_owned)), top_category),
    ]
    .into_iter()
    .flatten()
    .collect()
}
