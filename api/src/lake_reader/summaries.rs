//! A day's summaries, whole or of one customer.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, Float64Array, Int32Array, RecordBatch, StringArray};
use chrono::NaiveDate;
use common::lake::{LakeError, TXN_SUMMARY, date_folder};
use common::schema::CustomerId;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::LakeReader;
use super::cache::Weigh;
use super::large_day;
use super::listing::{FileRef, Freshness};
use super::open_files::{Kind, OpenFile};
use super::rows::{self, CUSTOMER_ID};

/// A file of up to this many rows is kept in memory as a whole (some 3 MB); a larger one is read in parts.
const SMALL_ROWS: usize = 50_000;

/// Rows of a page of a large file.
const PAGE_ROWS: usize = 8_192;

/// One customer's day.
#[derive(Debug, Clone)]
pub struct Summary {
    pub customer: CustomerId,
    pub total_amount: f64,
    pub total_items: i32,
    pub distinct_products: i32,
    /// Shared by all rows that were read together.
    pub top_category: Option<Arc<str>>,
}

impl Weigh for Summary {
    fn bytes(&self) -> u64 {
        size_of::<Self>() as u64
    }
}

/// Which part of a day's rows.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    pub offset: usize,
    /// All the rest when `None`.
    pub limit: Option<usize>,
}

/// Rows that follow each other.
pub struct SummaryPage {
    pub(super) rows: Arc<[Summary]>,
    pub(super) range: Range<usize>,
}

impl SummaryPage {
    pub fn rows(&self) -> &[Summary] {
        self.rows.get(self.range.clone()).unwrap_or_default()
    }
}

/// A day's rows by customer, page by page.
pub type SummaryPages = BoxStream<'static, Result<SummaryPage, LakeError>>;

impl LakeReader {
    /// One customer's summary of `date`, if there is one.
    pub async fn summary(&self, date: NaiveDate, customer: CustomerId) -> Result<Option<Summary>, LakeError> {
        self.settled(|freshness| async move {
            let Some(file) = self.summary_file(date, freshness).await? else { return Ok(None) };
            if let Some(rows) = self.small(&file).await? {
                let found = rows.binary_search_by_key(&customer, |row| row.customer);
                return Ok(found.ok().map(|at| rows[at].clone()));
            }
            let _turn = self.reads.acquire().await.expect("never closed");
            let open = self.files.open(&file, &COLUMNS).await?;
            let mut found = None;
            rows::each_batch_of(customer, &open, &COLUMNS, |batch| {
                found = found.take().or_else(|| summaries(batch, &mut HashSet::new()).next());
                Ok(())
            })
            .await?;
            Ok(found)
        })
        .await
    }

    /// The summaries of `date`; `None` when the date has no file.
    pub async fn summaries(
        self: &Arc<Self>,
        date: NaiveDate,
        page: Page,
    ) -> Result<Option<SummaryPages>, LakeError> {
        self.settled(|freshness| async move {
            let Some(file) = self.summary_file(date, freshness).await? else { return Ok(None) };
            if let Some(rows) = self.small(&file).await? {
                let end =
                    page.limit.map_or(rows.len(), |limit| page.offset.saturating_add(limit).min(rows.len()));
                let range = page.offset..end;
                return Ok(Some(stream::once(async { Ok(SummaryPage { rows, range }) }).boxed()));
            }
            let open = self.files.open(&file, &COLUMNS).await?;
            Ok(Some(large_day::pages(Arc::clone(self), date, open, page)?))
        })
        .await
    }

    pub(super) async fn summary_file(
        &self,
        date: NaiveDate,
        freshness: Freshness,
    ) -> Result<Option<FileRef>, LakeError> {
        let folder = date_folder(TXN_SUMMARY, "date", date);
        let listing = self.listings.get(&folder, "date", freshness).await?;
        let files = listing.between(None, None);
        // One file a date, says the contract; a second one would be somebody else's.
        Ok(files
            .iter()
            .map(|dated| &dated.file)
            .find(|file| file.0.path.ends_with("/part-00000.parquet"))
            .cloned())
    }

    /// All rows of a small file by customer; `None` when the file is large.
    async fn small(&self, file: &FileRef) -> Result<Option<Arc<[Summary]>>, LakeError> {
        if let Some(rows) = self.summaries.get(file) {
            return Ok(Some(rows));
        }
        let open = self.files.open(file, &COLUMNS).await?;
        if open.rows() > SMALL_ROWS {
            return Ok(None);
        }
        let read = async {
            let _turn = self.reads.acquire().await.expect("never closed");
            let mut pages = pages(open, Page { offset: 0, limit: None })?;
            let mut rows = Vec::new();
            while let Some(page) = pages.try_next().await? {
                rows.extend_from_slice(page.rows());
            }
            rows.sort_by_key(|row| row.customer);
            Ok::<_, LakeError>(rows.into())
        };
        Box::pin(self.summaries.get_or_insert_async(file, read)).await.map(Some)
    }
}

pub(super) const COLUMNS: [(&str, Kind); 5] = [
    (CUSTOMER_ID, Kind::Int32),
    ("total_amount", Kind::Double),
    ("total_items", Kind::Int32),
    ("distinct_products", Kind::Int32),
    ("top_category", Kind::Text),
];

/// Rows in the order of the file, a batch a page.
pub(super) fn pages(file: OpenFile, page: Page) -> Result<SummaryPages, LakeError> {
    let mut reader = file.reader(&COLUMNS).with_batch_size(PAGE_ROWS).with_offset(page.offset);
    if let Some(limit) = page.limit {
        reader = reader.with_limit(limit);
    }
    let batches = reader.build().map_err(|error| file.fault(error))?;
    let mut categories = HashSet::new();
    let pages = batches.map(move |batch| {
        let batch = batch.map_err(|error| file.fault(error))?;
        let rows: Arc<[Summary]> = summaries(&batch, &mut categories).collect();
        Ok(SummaryPage { range: 0..rows.len(), rows })
    });
    Ok(pages.boxed())
}

fn summaries<'a>(
    batch: &'a RecordBatch,
    categories: &'a mut HashSet<Arc<str>>,
) -> impl Iterator<Item = Summary> + use<'a> {
    let customers = rows::column::<Int32Array>(batch, CUSTOMER_ID);
    let amounts = rows::column::<Float64Array>(batch, "total_amount");
    let items = rows::column::<Int32Array>(batch, "total_items");
    let products = rows::column::<Int32Array>(batch, "distinct_products");
    let top = rows::column::<StringArray>(batch, "top_category");
    (0..batch.num_rows()).map(move |row| Summary {
        customer: CustomerId(customers.value(row)),
        total_amount: amounts.value(row),
        total_items: items.value(row),
        distinct_products: products.value(row),
        top_category: top.is_valid(row).then(|| shared(categories, top.value(row))),
    })
}

/// The same text once: a day has many rows and few categories.
fn shared(texts: &mut HashSet<Arc<str>>, text: &str) -> Arc<str> {
    if let Some(known) = texts.get(text) {
        return Arc::clone(known);
    }
    let new: Arc<str> = text.into();
    texts.insert(Arc::clone(&new));
    new
}
