//! Files from files: what is left of one, or several as one.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_select::concat::concat_batches;
use common::lake::{LakeError, LakeFile, StageWriter};
use futures::TryStreamExt;
use parquet::arrow::async_reader::ParquetRecordBatchStream;
use parquet::errors::Result;

use crate::batch::{EVENTS_SCHEMA, MALFORMED_SCHEMA, Output};
use crate::encode::{self, CUSTOMER_ID, Label, Writer};
use crate::load::Rewritten;
use crate::place::Stream;
use crate::state::DataFile;

/// Writes what `left` leaves of the rows of `old`, in their order.
pub async fn remaining(
    old: LakeFile,
    of: &DataFile,
    label: Label<'_>,
    to: StageWriter,
    mut left: impl AsyncFnMut(RecordBatch) -> std::result::Result<RecordBatch, LakeError>,
) -> std::result::Result<Rewritten, LakeError> {
    let path = &of.path;
    let mut writer = open(of, label, to).map_err(|error| LakeError::from_parquet(path, error))?;
    let written = async {
        let mut rows = encode::read(old).await?;
        while let Some(batch) = rows.try_next().await? {
            writer.write(&left(batch).await?).await?;
        }
        Ok(())
    };
    let written = written.await;
    finish(writer, written, path).await
}

/// Writes the rows of all `files` as one: events by customer, malformed records by file.
pub async fn merged(
    files: Vec<LakeFile>,
    of: &DataFile,
    label: Label<'_>,
    to: StageWriter,
) -> std::result::Result<Rewritten, LakeError> {
    let path = &of.path;
    let mut writer = open(of, label, to).map_err(|error| LakeError::from_parquet(path, error))?;
    let written = match of.stream {
        Stream::Events => merge_sorted(files, &mut writer).await,
        Stream::Malformed => append_all(files, &mut writer).await,
    };
    finish(writer, written, path).await
}

fn open(of: &DataFile, label: Label<'_>, to: StageWriter) -> Result<Writer> {
    let schema = match of.stream {
        Stream::Events => &EVENTS_SCHEMA,
        Stream::Malformed => &MALFORMED_SCHEMA,
    };
    let (stream, date, rows) = (of.stream, of.date, RecordBatch::new_empty((*schema).clone()));
    let (first_offset, last_offset) = (label.first_offset, label.last_offset);
    encode::open(&Output { stream, date, first_offset, last_offset, rows }, label, to)
}

async fn finish(
    mut writer: Writer,
    written: Result<()>,
    path: &str,
) -> std::result::Result<Rewritten, LakeError> {
    let footer = match written {
        Ok(()) => writer.finish().await,
        Err(error) => Err(error),
    };
    let rows = footer.map_err(|error| LakeError::from_parquet(path, error))?.file_metadata().num_rows();
    let staged = writer.into_inner().into_writer().finish().await?;
    Ok(Rewritten { staged, rows: u64::try_from(rows).unwrap_or_default() })
}

async fn append_all(files: Vec<LakeFile>, writer: &mut Writer) -> Result<()> {
    for file in files {
        let mut rows = encode::read(file).await?;
        while let Some(batch) = rows.try_next().await? {
            writer.write(&batch).await?;
        }
    }
    Ok(())
}

/// One of several sorted inputs, and what was read of it and is not written yet.
struct Input {
    rows: ParquetRecordBatchStream<LakeFile>,
    batch: RecordBatch,
}

impl Input {
    fn last_customer(&self) -> i32 {
        customers(&self.batch).last().copied().unwrap_or(i32::MIN)
    }
}

/// Sorted inputs, a sorted output: in each step all rows up to the least of the last customers that were read, so
/// that one input at least goes on to its next rows. Memory holds a row group of each.
async fn merge_sorted(files: Vec<LakeFile>, writer: &mut Writer) -> Result<()> {
    let mut inputs = Vec::with_capacity(files.len());
    for file in files {
        let mut rows = encode::read(file).await?;
        if let Some(batch) = rows.try_next().await? {
            inputs.push(Input { rows, batch });
        }
    }
    while let Some(bound) = inputs.iter().map(Input::last_customer).min() {
        let mut step = Vec::new();
        let mut open = Vec::with_capacity(inputs.len());
        for mut input in inputs {
            let below = customers(&input.batch).partition_point(|customer| *customer <= bound);
            step.push(input.batch.slice(0, below));
            input.batch = input.batch.slice(below, input.batch.num_rows() - below);
            if input.batch.num_rows() == 0 {
                match input.rows.try_next().await? {
                    Some(next) => input.batch = next,
                    None => continue,
                }
            }
            open.push(input);
        }
        inputs = open;
        let rows = concat_batches(&EVENTS_SCHEMA, &step)?;
        let sorted = encode::taken(&rows, &encode::sorted_order(&rows))?;
        encode::write_pieces(writer, &sorted).await?;
    }
    Ok(())
}

fn customers(rows: &RecordBatch) -> &[i32] {
    rows.column(CUSTOMER_ID).as_primitive::<Int32Type>().values()
}
