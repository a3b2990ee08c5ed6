//! When events say they happened.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use common::run::Clock;

/// Source of event timestamps.
#[derive(Debug)]
pub(super) enum Timeline {
    /// The time at which each is made.
    Now(Clock),
    /// Spread evenly over a period, in order.
    Spread {
        /// First timestamp.
        from: DateTime<Utc>,
        /// Length of the period in milliseconds.
        span_ms: u64,
        /// Number of events in the period.
        count: u64,
        /// How many are made.
        made: u64,
    },
}

impl Timeline {
    /// `count` timestamps in `[from, to)`.
    pub(super) fn spread(from: DateTime<Utc>, to: DateTime<Utc>, count: u64) -> Self {
        let span_ms = u64::try_from((to - from).num_milliseconds()).unwrap_or(0);
        Self::Spread { from, span_ms, count: count.max(1), made: 0 }
    }

    /// The next timestamp.
    pub(super) fn next(&mut self) -> DateTime<Utc> {
        match self {
            Self::Now(clock) => clock.now(),
            Self::Spread { from, span_ms, count, made } => {
                let offset_ms = u128::from(*span_ms) * u128::from(*made) / u128::from(*count);
                *made += 1;
                let offset_ms = i64::try_from(offset_ms).expect("within the period, which fits");
                *from + TimeDelta::milliseconds(offset_ms)
            }
        }
    }
}

/// ISO 8601 in milliseconds, formatted anew only when the millisecond changes.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    millis: Option<i64>,
    text: String,
}

impl Stamp {
    /// The text of `at`.
    pub(super) fn of(&mut self, at: DateTime<Utc>) -> &str {
        if self.millis != Some(at.timestamp_millis()) {
            self.millis = Some(at.timestamp_millis());
            self.text = at.to_rfc3339_opts(SecondsFormat::Millis, true);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_filled_in_order_without_its_end() {
        let (from, to) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::seconds(10));
        let mut timeline = Timeline::spread(from, to, 4);
        let mut stamp = Stamp::default();
        let texts: Vec<String> = (0..4).map(|_| stamp.of(timeline.next()).to_owned()).collect();
        assert_eq!(texts[0], "1970-01-01T00:00:00.000Z");
        assert_eq!(texts[3], "1970-01-01T00:00:07.500Z");
        assert!(texts.is_sorted());
    }
}
