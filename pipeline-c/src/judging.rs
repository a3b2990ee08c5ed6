//! Judges records once more, outside of a worker.

use crate::error::Error;
use crate::schemas::Schemas;
use crate::transform::{Event, Malformed, Record, framed, judge};

/// Judges records by what the registry says now: a schema that it did not know is asked for again after a while, as in
/// a run. An outage of the registry is waited out.
#[derive(Debug)]
pub struct Judge {
    schemas: Schemas,
}

impl Judge {
    /// A judge who asks these.
    #[must_use]
    pub fn new(schemas: Schemas) -> Self {
        Self { schemas }
    }

    /// The event that the record is now, or why it is none.
    pub async fn judge<'a>(&self, record: &Record<'a>) -> Result<Result<Event<'a>, Malformed>, Error> {
        let (id, body) = match framed(record) {
            Ok(framed) => framed,
            Err(malformed) => return Ok(Err(malformed)),
        };
        let writer = match self.schemas.known(id) {
            Some(writer) => writer,
            None => self.schemas.resolve(id).await?,
        };
        Ok(judge(id, body, &writer, record.timestamp_ms))
    }
}
