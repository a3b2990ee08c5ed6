//! What is sent: good events, odd ones, and every kind of malformed record.

use std::fmt;

/// A kind of record, named in the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A plain event.
    Valid,
    /// Acceptable: a product id below 0.
    OddNegativeProduct,
    /// Acceptable: no product.
    OddNoProduct,
    /// Acceptable: a timestamp that is no timestamp.
    OddBadTimestamp,
    /// Acceptable: an empty timestamp.
    OddEmptyTimestamp,
    /// `not_framed`: fewer than 5 bytes.
    NotFramedShort,
    /// `not_framed`: the first byte is not 0.
    NotFramedMagic,
    /// `not_framed`: a null value.
    NotFramedTombstone,
    /// `unknown_schema`: an id that the registry does not have.
    UnknownSchema,
    /// `undecodable`: the body ends early.
    UndecodableTruncated,
    /// `undecodable`: bytes are left over.
    UndecodableTrailing,
    /// `missing_event_id`: empty.
    EventIdEmpty,
    /// `missing_event_id`: blanks.
    EventIdBlank,
    /// `missing_event_id`: null, by a writer schema that allows it.
    EventIdNull,
    /// `missing_event_type`: empty.
    EventTypeEmpty,
    /// `missing_event_type`: blanks.
    EventTypeBlank,
    /// `missing_event_type`: null, by a writer schema that allows it.
    EventTypeNull,
}

impl Kind {
    /// Acceptable, but not what one expects.
    pub(super) const ODD: [Self; 4] =
        [Self::OddNegativeProduct, Self::OddNoProduct, Self::OddBadTimestamp, Self::OddEmptyTimestamp];

    /// Malformed; the last two need the writer schema with nullable fields.
    pub(super) const MALFORMED: [Self; 12] = [
        Self::NotFramedShort,
        Self::NotFramedMagic,
        Self::NotFramedTombstone,
        Self::UnknownSchema,
        Self::UndecodableTruncated,
        Self::UndecodableTrailing,
        Self::EventIdEmpty,
        Self::EventIdBlank,
        Self::EventTypeEmpty,
        Self::EventTypeBlank,
        Self::EventIdNull,
        Self::EventTypeNull,
    ];

    /// The kinds in [`Kind::MALFORMED`] that need the writer schema with nullable fields.
    pub(super) const NULLABLE: usize = 2;

    /// The reason under which a pipeline puts the record aside; `None` for what it accepts.
    #[must_use]
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Valid
            | Self::OddNegativeProduct
            | Self::OddNoProduct
            | Self::OddBadTimestamp
            | Self::OddEmptyTimestamp => None,
            Self::NotFramedShort | Self::NotFramedMagic | Self::NotFramedTombstone => Some("not_framed"),
            Self::UnknownSchema => Some("unknown_schema"),
            Self::UndecodableTruncated | Self::UndecodableTrailing => Some("undecodable"),
            Self::EventIdEmpty | Self::EventIdBlank | Self::EventIdNull => Some("missing_event_id"),
            Self::EventTypeEmpty | Self::EventTypeBlank | Self::EventTypeNull => Some("missing_event_type"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid => "valid",
            Self::OddNegativeProduct => "odd_negative_product",
            Self::OddNoProduct => "odd_no_product",
            Self::OddBadTimestamp => "odd_bad_timestamp",
            Self::OddEmptyTimestamp => "odd_empty_timestamp",
            Self::NotFramedShort => "not_framed_short",
            Self::NotFramedMagic => "not_framed_magic",
            Self::NotFramedTombstone => "not_framed_tombstone",
            Self::UnknownSchema => "unknown_schema",
            Self::UndecodableTruncated => "undecodable_truncated",
            Self::UndecodableTrailing => "undecodable_trailing",
            Self::EventIdEmpty => "missing_event_id_empty",
            Self::EventIdBlank => "missing_event_id_blank",
            Self::EventIdNull => "missing_event_id_null",
            Self::EventTypeEmpty => "missing_event_type_empty",
            Self::EventTypeBlank => "missing_event_type_blank",
            Self::EventTypeNull => "missing_event_type_null",
        })
    }
}
