//! Rows of one partition that wait for the flush, in columns.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow_array::builder::{
    BinaryBuilder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};

use crate::fingerprint::Fingerprint;
use crate::place::{PartitionId, Place, Stream};
use crate::tally::Tally;
use crate::timestamp::Day;
use crate::transform::{Event, Malformed, Record};

fn timestamp(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false)
}

/// The contract's columns of `events`.
pub static EVENTS_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("event_id", DataType::Utf8, false),
        Field::new("customer_id", DataType::Int32, false),
        Field::new("event_type", DataType::Utf8, false),
        Field::new("product_id", DataType::Int32, true),
        timestamp("event_timestamp"),
        timestamp("ingestion_timestamp"),
    ]))
});

/// The contract's columns of `events_malformed`.
pub static MALFORMED_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        timestamp("kafka_timestamp"),
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("detail", DataType::Utf8, false),
        timestamp("ingestion_timestamp"),
    ]))
});

/// Rows that go to one file.
#[derive(Debug, Clone)]
pub struct Output {
    /// `events` or `events_malformed`.
    pub stream: Stream,
    /// Which date's folder.
    pub date: chrono::NaiveDate,
    /// Offset of the first record.
    pub first_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// The rows, by offset.
    pub rows: RecordBatch,
}

/// Rows of one partition, by date, since its last flush.
#[derive(Debug)]
pub struct Batch {
    /// All records below this offset are in here, or were flushed before.
    pub next_offset: i64,
    /// The first record in here.
    pub first_record: Option<Fingerprint>,
    /// The record before `next_offset`.
    pub last_record: Option<Fingerprint>,
    /// What was counted.
    pub tally: Tally,
    /// Bytes in memory, about.
    pub bytes: u64,
    partition: PartitionId,
    events: BTreeMap<Day, EventColumns>,
    malformed: MalformedColumns,
}

impl Batch {
    /// A batch of a partition that starts at this offset.
    #[must_use]
    pub fn starting_at(partition: PartitionId, next_offset: i64) -> Self {
        Self {
            partition,
            next_offset,
            first_record: None,
            last_record: None,
            tally: Tally::default(),
            bytes: 0,
            events: BTreeMap::new(),
            malformed: MalformedColumns::default(),
        }
    }

    /// Adds a judged record.
    pub fn push(&mut self, record: &Record<'_>, judged: Result<Event<'_>, Malformed>) {
        self.tally.count(self.partition, record, &judged);
        self.bytes += match judged {
            Ok(event) => {
                self.events.entry(Day::of(event.event_timestamp)).or_default().push(record.offset, &event)
            }
            Err(malformed) => self.malformed.push(record, &malformed),
        };
        self.next_offset = record.offset + 1;
    }

    /// The rows as they go to files; all carry the same ingestion time.
    #[must_use]
    pub fn into_outputs(mut self, place: &Place, at: DateTime<Utc>) -> Vec<Output> {
        let mut outputs: Vec<Output> = Vec::with_capacity(self.events.len() + 1);
        for (day, columns) in self.events {
            outputs.push(columns.finish(day, at));
        }
        if self.malformed.span.0.is_some() {
            outputs.push(self.malformed.finish(place, at));
        }
        outputs
    }
}

/// First and last offset.
#[derive(Debug, Default)]
struct Span(Option<(i64, i64)>);

impl Span {
    fn widen(&mut self, offset: i64) {
        let (first, last) = self.0.unwrap_or((offset, offset));
        self.0 = Some((first.min(offset), last.max(offset)));
    }
}

#[derive(Debug, Default)]
struct EventColumns {
    span: Span,
    event_id: StringColumn,
    customer_id: Int32Column,
    event_type: StringColumn,
    product_id: Int32Column,
    event_timestamp: MicrosColumn,
}

impl EventColumns {
    /// Returns the bytes that the row takes.
    fn push(&mut self, offset: i64, event: &Event<'_>) -> u64 {
        self.span.widen(offset);
        self.event_id.0.append_value(event.event_id);
        self.customer_id.0.append_value(event.customer_id);
        self.event_type.0.append_value(event.event_type);
        self.product_id.0.append_option(event.product_id);
        self.event_timestamp.0.append_value(event.event_timestamp);
        // Two string offsets, two integers, a timestamp; half as much again for the room that vectors keep.
        (event.event_id.len() + event.event_type.len() + 24) as u64 * 3 / 2
    }

    fn finish(mut self, day: Day, at: DateTime<Utc>) -> Output {
        let customer_id = self.customer_id.0.finish();
        let ingestion = constant(at, customer_id.values().len());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.event_id.0.finish()),
            Arc::new(customer_id),
            Arc::new(self.event_type.0.finish()),
            Arc::new(self.product_id.0.finish()),
            Arc::new(self.event_timestamp.0.finish().with_timezone("UTC")),
            ingestion,
        ];
        output(Stream::Events, day, &self.span, &EVENTS_SCHEMA, columns)
    }
}

#[derive(Debug, Default)]
struct MalformedColumns {
    span: Span,
    offset: Int64Column,
    kafka_timestamp: MicrosColumn,
    key: BinaryColumn,
    value: BinaryColumn,
    reason: StringColumn,
    detail: StringColumn,
}

impl MalformedColumns {
    /// Returns the bytes that the row takes.
    fn push(&mut self, record: &Record<'_>, malformed: &Malformed) -> u64 {
        self.span.widen(record.offset);
        self.offset.0.append_value(record.offset);
        self.kafka_timestamp.0.append_value(record.timestamp_ms.saturating_mul(1_000));
        self.key.0.append_option(record.key);
        self.value.0.append_value(record.value.unwrap_or_default());
        self.reason.0.append_value(malformed.reason.code());
        self.detail.0.append_value(&malformed.detail);
        let bytes =
            record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + malformed.detail.len();
        (bytes + 48) as u64 * 3 / 2
    }

    fn finish(&mut self, place: &Place, at: DateTime<Utc>) -> Output {
        let offset = self.offset.0.finish();
        let rows = offset.values().len();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(arrow_array::StringArray::from_iter_values(std::iter::repeat_n(
                place.topic.as_ref(),
                rows,
            ))),
            Arc::new(arrow_array::Int32Array::from_value(place.partition.0, rows)),
            Arc::new(offset),
            Arc::new(self.kafka_timestamp.0.finish().with_timezone("UTC")),
            Arc::new(self.key.0.finish()),
            Arc::new(self.value.0.finish()),
            Arc::new(self.reason.0.finish()),
            Arc::new(self.detail.0.finish()),
            constant(at, rows),
        ];
        output(Stream::Malformed, Day::of(at.timestamp_micros()), &self.span, &MALFORMED_SCHEMA, columns)
    }
}

fn constant(at: DateTime<Utc>, rows: usize) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_value(at.timestamp_micros(), rows).with_timezone("UTC"))
}

fn output(stream: Stream, day: Day, span: &Span, schema: &SchemaRef, columns: Vec<ArrayRef>) -> Output {
    let (first_offset, last_offset) = span.0.unwrap_or_default();
    let rows =
        RecordBatch::try_new(Arc::clone(schema), columns).expect("the columns are built for this schema");
    Output { stream, date: day.date(), first_offset, last_offset, rows }
}

/// A builder that starts empty: arrow's own start with room for 1,024 values, too much for a date with one row.
macro_rules! column {
    ($name:ident, $builder:ty, $new:expr) => {
        #[derive(Debug)]
        struct $name($builder);
        impl Default for $name {
            fn default() -> Self {
                Self($new)
            }
        }
    };
}
column!(StringColumn, StringBuilder, StringBuilder::with_capacity(8, 64));
column!(BinaryColumn, BinaryBuilder, BinaryBuilder::with_capacity(8, 64));
column!(Int32Column, Int32Builder, Int32Builder::with_capacity(8));
column!(Int64Column, Int64Builder, Int64Builder::with_capacity(8));
column!(MicrosColumn, TimestampMicrosecondBuilder, TimestampMicrosecondBuilder::with_capacity(8));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_holds_offsets_in_any_order() {
        for order in [[3, 7, 5], [7, 5, 3], [5, 3, 7]] {
            let mut span = Span::default();
            for offset in order {
                span.widen(offset);
            }
            assert_eq!(span.0, Some((3, 7)), "{order:?}");
        }
    }
}
