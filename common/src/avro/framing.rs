//! Confluent's wire format: 0x00, the schema id in 4 bytes big-endian, the Avro body.

use super::SchemaId;

/// Bytes before the body.
const HEADER: usize = 5;

/// The value is not in Confluent's wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotFramed {
    /// Too short to hold the header.
    #[error("{0} bytes, at least 5 are needed")]
    TooShort(usize),
    /// The first byte is not 0.
    #[error("the first byte is {0:#04x}, not 0x00")]
    Magic(u8),
}

/// Puts the header before `body`.
#[must_use]
pub fn frame(schema: SchemaId, body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEADER + body.len());
    value.push(0);
    value.extend_from_slice(&schema.0.to_be_bytes());
    value.extend_from_slice(body);
    value
}

/// Takes the header off: the schema's id and the body.
pub fn unframe(value: &[u8]) -> Result<(SchemaId, &[u8]), NotFramed> {
    let Some((header, body)) = value.split_first_chunk::<HEADER>() else {
        return Err(NotFramed::TooShort(value.len()));
    };
    match header {
        [0, id @ ..] => Ok((SchemaId(u32::from_be_bytes(*id)), body)),
        [magic, ..] => Err(NotFramed::Magic(*magic)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framed_body_comes_back() {
        let value = frame(SchemaId(0x0102_0304), b"body");
        assert_eq!(&value[..5], &[0, 1, 2, 3, 4]);
        assert_eq!(unframe(&value), Ok((SchemaId(0x0102_0304), b"body".as_slice())));
        assert_eq!(unframe(&value[..5]), Ok((SchemaId(0x0102_0304), b"".as_slice())));
    }

    #[test]
    fn anything_else_is_not_framed() {
        assert_eq!(unframe(b""), Err(NotFramed::TooShort(0)));
        assert_eq!(unframe(&[0, 0, 0, 1]), Err(NotFramed::TooShort(4)));
        assert_eq!(unframe(b"{\"json\":1}"), Err(NotFramed::Magic(b'{')));
    }
}
