//! Judges records once more, outside of a worker.

use std::sync::Arc;

use common::avro::SchemaId;

use crate::error::Error;
use crate::schemas::Schemas;
use crate::transform::{Event, Malformed, Record, Writer, framed, judge};

/// Judges records by what the registry says now. An outage of the registry is waited out.
#[derive(Debug)]
pub struct Judge {
    schemas: Schemas,
    last: Option<(SchemaId, Arc<Writer>)>,
}

impl Judge {
    /// A judge who asks these.
    #[must_use]
    pub fn new(schemas: Schemas) -> Self {
        Self { schemas, last: None }
    }

    /// The event that the record is now, or why it is none.
    pub async fn judge<'a>(&mut self, record: &Record<'a>) -> Result<Result<Event<'a>, Malformed>, Error> {
        let (id, body) = match framed(record) {
            Ok(framed) => framed,
            Err(malformed) => return Ok(Err(malformed)),
        };
        let writer = match &self.last {
            Some((last, writer)) if *last == id => Arc::clone(writer),
            _ => match self.schemas.known(id) {
                Some(writer) => writer,
                None => self.schemas.resolve(id).await?,
            },
        };
        let judged = judge(id, body, &writer, record.timestamp_ms);
        self.last = Some((id, writer));
        Ok(judged)
    }
}
