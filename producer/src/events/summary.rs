//! What became of the events.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::kind::Kind;
use crate::progress::per_second;

/// What became of the events; `delivered` + `failed` = `sent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventsSummary {
    /// Records handed to Kafka's client.
    pub sent: u64,
    /// Records that the brokers have acknowledged.
    pub delivered: u64,
    /// Records that were given up.
    pub failed: u64,
    /// Why the first of them failed.
    pub first_failure: Option<String>,
    /// Records sent, by kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// From the first record to the last acknowledgement.
    pub elapsed: Duration,
}

impl EventsSummary {
    /// Records sent that a pipeline should put aside as malformed.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.kinds.iter().filter(|(kind, _)| kind.reason().is_some()).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for EventsSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = per_second(self.delivered, self.elapsed);
        let seconds = self.elapsed.as_secs_f64();
        write!(f, "sent {} events, delivered {}, failed {}", self.sent, self.delivered, self.failed)?;
        write!(f, ", malformed on purpose {} in {seconds:.1} s ({rate}/s):", self.malformed())?;
        for (kind, count) in &self.kinds {
            write!(f, " {kind} {count}")?;
        }
        self.first_failure.as_ref().map_or(Ok(()), |failure| write!(f, "; first failure: {failure}"))
    }
}
