//! The rows of a data file, as contents.

use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use common::lake::{Lake, LakeError};
use futures::TryStreamExt;
use parquet::arrow::ParquetRecordBatchStreamBuilder;

use super::hash::{EventContent, MalformedContent};
use crate::batch::{EVENTS_SCHEMA, MALFORMED_SCHEMA};
use crate::inventory::Described;
use crate::place::Stream;

/// A row as it is compared.
#[derive(Debug, Clone, Copy)]
pub enum Row<'a> {
    /// Of `events`.
    Event(EventContent<'a>),
    /// Of `events_malformed`; whether its columns name the partition of its file.
    Malformed(MalformedContent<'a>, bool),
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(event) => write!(f, "event {}", event.event_id),
            Self::Malformed(malformed, _) => write!(f, "the malformed record at offset {}", malformed.offset),
        }
    }
}

/// Gives every row of a file to `take`.
pub async fn read(lake: &Lake, of: &Described, mut take: impl FnMut(Row<'_>)) -> Result<(), LakeError> {
    let damaged = |error| LakeError::from_parquet(&of.meta.path, error);
    let file = lake.file(of.meta.clone());
    let builder = ParquetRecordBatchStreamBuilder::new(file).await.map_err(damaged)?;
    let expected = match of.file.stream {
        Stream::Events => &*EVENTS_SCHEMA,
        Stream::Malformed => &*MALFORMED_SCHEMA,
    };
    if builder.schema().fields() != expected.fields() {
        let reason = "its columns are not those of this output".to_owned();
        return Err(LakeError::Damaged { path: of.meta.path.clone(), reason });
    }
    let mut batches = builder.build().map_err(damaged)?;
    while let Some(rows) = batches.try_next().await.map_err(damaged)? {
        match of.file.stream {
            Stream::Events => events(&rows, of, &mut take),
            Stream::Malformed => malformed(&rows, of, &mut take),
        }
    }
    Ok(())
}

fn events(rows: &RecordBatch, of: &Described, take: &mut impl FnMut(Row<'_>)) {
    let (ids, customers) = (rows.column(0).as_string::<i32>(), rows.column(1).as_primitive::<Int32Type>());
    let (types, products) = (rows.column(2).as_string::<i32>(), rows.column(3).as_primitive::<Int32Type>());
    let times = rows.column(4).as_primitive::<TimestampMicrosecondType>();
    for row in 0..rows.num_rows() {
        take(Row::Event(EventContent {
            date: of.file.date,
            event_id: ids.value(row),
            customer_id: customers.value(row),
            event_type: types.value(row),
            product_id: products.is_valid(row).then(|| products.value(row)),
            event_timestamp: times.value(row),
        }));
    }
}

fn malformed(rows: &RecordBatch, of: &Described, take: &mut impl FnMut(Row<'_>)) {
    let (topics, partitions) =
        (rows.column(0).as_string::<i32>(), rows.column(1).as_primitive::<Int32Type>());
    let offsets = rows.column(2).as_primitive::<Int64Type>();
    let (keys, values) = (rows.column(4).as_binary::<i32>(), rows.column(5).as_binary::<i32>());
    // The file's name was found to be that of its partition.
    let name = crate::place::FileName::parse(&of.meta.path);
    for row in 0..rows.num_rows() {
        let own = name.as_ref().is_some_and(|name| {
            *name.place.topic == *topics.value(row) && name.place.partition.0 == partitions.value(row)
        });
        let key = keys.is_valid(row).then(|| keys.value(row));
        take(Row::Malformed(
            MalformedContent { offset: offsets.value(row), key, value: values.value(row) },
            own,
        ));
    }
}
