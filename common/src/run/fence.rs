//! The order of writes of one row.

/// A run's fencing number: of two writes of one row the one with the larger number wins, whatever arrives last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteFence(pub i64);
