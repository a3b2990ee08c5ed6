//! A customer's events over many dates.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::{DateTime, NaiveDate, Utc};
use common::lake::{EVENTS, LakeError};
use common::schema::CustomerId;
use futures::{StreamExt, TryStreamExt, stream};

use super::LakeReader;
use super::cache::Weigh;
use super::listing::{DatedFile, FileRef, Freshness};
use super::open_files::{Kind, OpenFile};
use super::rows::{self, CUSTOMER_ID};

/// The most events that a question may ask for.
pub const MAX_EVENTS: usize = 1_000;

/// Files that one request reads ahead, in the order of their dates: enough to hide the store's latency, few enough
/// that little is read in vain when the limit is reached early.
const LOOK_AHEAD: usize = 16;

/// One event.
#[allow(clippy::struct_field_names)] // the contract's names
#[derive(Debug, Clone)]
pub struct Event {
    pub date: NaiveDate,
    pub event_id: Arc<str>,
    pub customer: CustomerId,
    pub event_type: Arc<str>,
    pub product_id: Option<i32>,
    pub event_timestamp: DateTime<Utc>,
    pub ingestion_timestamp: DateTime<Utc>,
}

impl Weigh for Event {
    fn bytes(&self) -> u64 {
        // Each text is an allocation with two counters before it.
        (size_of::<Self>() + 64 + self.event_id.len() + self.event_type.len()) as u64
    }
}

/// By time, then id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    Ascending,
    Descending,
}

impl Order {
    fn compare(self, a: &Event, b: &Event) -> Ordering {
        let ascending = a.event_timestamp.cmp(&b.event_timestamp).then_with(|| a.event_id.cmp(&b.event_id));
        if self == Self::Descending { ascending.reverse() } else { ascending }
    }

    /// Leaves the first `limit` in this order.
    fn keep_first(self, limit: usize, events: &mut Vec<Event>) {
        events.sort_by(|a, b| self.compare(a, b));
        events.truncate(limit);
    }
}

/// Which events are wanted.
#[derive(Debug, Clone)]
pub struct EventQuery {
    pub customer: CustomerId,
    /// First date, inclusive.
    pub from: Option<NaiveDate>,
    /// Last date, inclusive.
    pub to: Option<NaiveDate>,
    /// At most [`MAX_EVENTS`].
    pub limit: usize,
    pub order: Order,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EventsKey {
    file: FileRef,
    customer: CustomerId,
    order: Order,
}

impl LakeReader {
    /// The first events in the order asked for; empty when the customer has none in these dates.
    pub async fn events(&self, query: &EventQuery) -> Result<Vec<Event>, LakeError> {
        self.settled(|freshness| self.events_as_listed(query, freshness)).await
    }

    /// A date's events lie in its folder alone, so the dates are read in order until there are enough.
    async fn events_as_listed(
        &self,
        query: &EventQuery,
        freshness: Freshness,
    ) -> Result<Vec<Event>, LakeError> {
        let listing = self.listings.get(EVENTS, "event_date", freshness).await?;
        let files = listing.between(query.from, query.to);
        let reads = (0..files.len()).map(|at| {
            let at = if query.order == Order::Descending { files.len() - 1 - at } else { at };
            self.events_in(&files[at], query.customer, query.order)
        });
        let mut files = stream::iter(reads).buffered(LOOK_AHEAD);

        let (mut events, mut of_date, mut current) = (Vec::new(), Vec::new(), None);
        while let Some((date, found)) = files.try_next().await? {
            if current.replace(date) != Some(date) {
                events.append(&mut of_date);
                if events.len() >= query.limit {
                    break;
                }
            }
            of_date.extend_from_slice(&found);
            query.order.keep_first(query.limit - events.len(), &mut of_date);
        }
        events.append(&mut of_date);
        Ok(events)
    }

    async fn events_in(
        &self,
        DatedFile { date, file }: &DatedFile,
        customer: CustomerId,
        order: Order,
    ) -> Result<(NaiveDate, Arc<[Event]>), LakeError> {
        let key = EventsKey { file: file.clone(), customer, order };
        if let Some(events) = self.events.get(&key) {
            return Ok((*date, events));
        }
        let read = async {
            let _turn = self.reads.acquire().await.expect("never closed");
            let file = self.files.open(file, &COLUMNS).await?;
            read_events(&file, *date, customer, order).await
        };
        // Boxed here, so that the way past the cache stays small.
        Ok((*date, Box::pin(self.events.get_or_insert_async(&key, read)).await?))
    }
}

const COLUMNS: [(&str, Kind); 6] = [
    ("event_id", Kind::Text),
    (CUSTOMER_ID, Kind::Int32),
    ("event_type", Kind::Text),
    ("product_id", Kind::Int32),
    ("event_timestamp", Kind::Time),
    ("ingestion_timestamp", Kind::Time),
];

async fn read_events(
    file: &OpenFile,
    date: NaiveDate,
    customer: CustomerId,
    order: Order,
) -> Result<Arc<[Event]>, LakeError> {
    let mut events = Vec::new();
    rows::each_batch_of(customer, file, &COLUMNS, |batch| {
        for row in 0..batch.num_rows() {
            events
                .push(event(batch, row, date, customer).ok_or_else(|| file.damaged("a time out of range"))?);
        }
        // However many there are, no answer needs more.
        if events.len() > 2 * MAX_EVENTS {
            order.keep_first(MAX_EVENTS, &mut events);
        }
        Ok(())
    })
    .await?;
    order.keep_first(MAX_EVENTS, &mut events);
    Ok(events.into())
}

fn event(batch: &RecordBatch, row: usize, date: NaiveDate, customer: CustomerId) -> Option<Event> {
    let text = |name| rows::column::<StringArray>(batch, name).value(row);
    let time = |name| {
        DateTime::from_timestamp_micros(rows::column::<TimestampMicrosecondArray>(batch, name).value(row))
    };
    let products = rows::column::<Int32Array>(batch, "product_id");
    Some(Event {
        date,
        event_id: text("event_id").into(),
        customer,
        event_type: text("event_type").into(),
        product_id: products.is_valid(row).then(|| products.value(row)),
        event_timestamp: time("event_timestamp")?,
        ingestion_timestamp: time("ingestion_timestamp")?,
    })
}
