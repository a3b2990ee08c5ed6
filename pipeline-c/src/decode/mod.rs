//! Avro bodies to the fields of an event, by the schema they were written with.

#[cfg(test)]
mod against_apache_avro;
mod body;
#[cfg(test)]
mod tests;
mod writer;

use body::Body;
use writer::Field;
pub use writer::WriterSchema;

/// What an event's record says, before it is judged. A field that is null or absent is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawEvent<'a> {
    /// Unique id.
    pub event_id: Option<&'a str>,
    /// Who acted; the one field without which there is no event.
    pub customer_id: i32,
    /// What happened.
    pub event_type: Option<&'a str>,
    /// The product acted on.
    pub product_id: Option<i32>,
    /// ISO 8601.
    pub event_timestamp: Option<&'a str>,
}

/// A schema or a body cannot be read as an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// The registry's text is not a schema.
    #[error("the writer's schema cannot be read: {0}")]
    Schema(String),
    /// Only records have fields.
    #[error("the writer's schema is {0}, not a record")]
    NotARecord(String),
    /// The body is not what the schema says.
    #[error("the body does not match its schema: {0}")]
    Body(String),
    /// The body is cut off.
    #[error("the body ends before its schema does")]
    Truncated,
    /// Something follows the record.
    #[error("{0} bytes are left over after the record")]
    LeftOver(usize),
    /// The field's type does not resolve to the reader's.
    #[error("{field} is {found}, which does not resolve to {wanted}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// The writer's type.
        found: &'static str,
        /// The reader's type.
        wanted: &'static str,
    },
    /// The writer's schema lacks a field that has no default.
    #[error("{0} is missing and has no default")]
    Missing(&'static str),
}

/// Reads one event. The body must hold one record and nothing else.
///
/// Fields that the reader does not know are ignored. `event_id`, `event_type` and `event_timestamp` may be null or
/// absent here: they are judged later.
pub fn decode<'a>(schema: &WriterSchema, body: &'a [u8]) -> Result<RawEvent<'a>, Undecodable> {
    let mut body = Body { rest: body };
    let mut customer_id = None;
    let (mut event_id, mut event_type, mut product_id, mut event_timestamp) = (None, None, None, None);
    for (field, id) in &schema.fields {
        match field {
            Some(field @ Field::EventId) => event_id = body.text(*field, *id, schema)?,
            Some(field @ Field::CustomerId) => customer_id = body.int_or_null(*field, *id, schema)?,
            Some(field @ Field::EventType) => event_type = body.text(*field, *id, schema)?,
            Some(field @ Field::ProductId) => product_id = body.int_or_null(*field, *id, schema)?,
            Some(field @ Field::EventTimestamp) => event_timestamp = body.text(*field, *id, schema)?,
            None => body.skip(*id, schema)?,
        }
    }
    if !body.rest.is_empty() {
        return Err(Undecodable::LeftOver(body.rest.len()));
    }
    let customer_id = customer_id.ok_or(Undecodable::Missing(Field::CustomerId.name()))?;
    Ok(RawEvent { event_id, customer_id, event_type, product_id, event_timestamp })
}
