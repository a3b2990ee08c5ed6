//! Rows of a file of malformed records: what becomes of each, and what is left of the file.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow_select::filter::filter_record_batch;
use common::lake::LakeError;
use std::sync::Arc;

use crate::error::Error;
use crate::judging::Judge;
use crate::transform::Record;

const REASON: usize = 6;
const DETAIL: usize = 7;

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays as it is.
    Stays,
    /// It stays, and is malformed for another reason now.
    OtherReason,
    /// It moves to `events`.
    Moves,
}

/// The record of a row.
#[must_use]
pub fn record(rows: &RecordBatch, row: usize) -> Record<'_> {
    let keys = rows.column(4).as_binary::<i32>();
    let timestamps = rows.column(3).as_primitive::<TimestampMicrosecondType>();
    Record {
        offset: rows.column(2).as_primitive::<Int64Type>().value(row),
        timestamp_ms: timestamps.value(row).div_euclid(1_000),
        key: keys.is_valid(row).then(|| keys.value(row)),
        value: Some(rows.column(5).as_binary::<i32>().value(row)),
    }
}

/// Why the record of a row was malformed.
#[must_use]
pub fn reason(rows: &RecordBatch, row: usize) -> &str {
    rows.column(REASON).as_string::<i32>().value(row)
}

/// The rows that stay, with the reasons that hold now.
pub async fn left_of(rows: &RecordBatch, fates: &[Fate], judge: &Judge) -> Result<RecordBatch, LakeError> {
    let staying: BooleanArray = fates.iter().map(|fate| Some(*fate != Fate::Moves)).collect();
    let shown = |error: &dyn std::fmt::Display| LakeError::Unavailable {
        action: "write malformed records again".to_owned(),
        reason: error.to_string(),
    };
    let rows = if fates.contains(&Fate::OtherReason) {
        with_reasons(rows, fates, judge).await
    } else {
        Ok(rows.clone())
    };
    let rows = rows.map_err(|error| shown(&error))?;
    filter_record_batch(&rows, &staying).map_err(|error| shown(&error))
}

async fn with_reasons(rows: &RecordBatch, fates: &[Fate], judge: &Judge) -> Result<RecordBatch, Error> {
    let details = rows.column(DETAIL).as_string::<i32>();
    let mut said: Vec<(&str, String)> = Vec::with_capacity(fates.len());
    for (row, fate) in fates.iter().enumerate() {
        let before = (reason(rows, row), details.value(row).to_owned());
        said.push(match fate {
            Fate::Stays | Fate::Moves => before,
            // One that can be read by now moves with the next replay.
            Fate::OtherReason => match judge.judge(&record(rows, row)).await? {
                Ok(_) => before,
                Err(malformed) => (malformed.reason.code(), malformed.detail),
            },
        });
    }
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns[REASON] = Arc::new(StringArray::from_iter_values(said.iter().map(|(reason, _)| reason)));
    columns[DETAIL] = Arc::new(StringArray::from_iter_values(said.iter().map(|(_, detail)| detail)));
    Ok(RecordBatch::try_new(rows.schema(), columns).expect("two columns of the same type and length"))
}
