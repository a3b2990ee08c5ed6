//! The order of writes of one row, and until when a run may write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Stopwatch;

/// A run's fencing number: of two writes of one row the one with the larger number wins, whatever arrives last.
///
/// A row that a later run does not write at all is not protected by a number. Therefore a run writes only until its term
/// is over: a process that was paused for longer finds that it is, before another write.
#[derive(Debug, Clone)]
pub struct WriteFence {
    number: i64,
    watch: Stopwatch,
    /// Milliseconds on `watch` until which nobody else can hold the lease.
    term_ends: Arc<AtomicU64>,
}

impl WriteFence {
    /// A fence whose term ends `term` from now.
    #[must_use]
    pub fn new(number: i64, term: Duration) -> Self {
        let fence = Self { number, watch: Stopwatch::start(), term_ends: Arc::default() };
        fence.extend(Duration::ZERO, term);
        fence
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Time since the run began, for [`WriteFence::extend`].
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.watch.elapsed()
    }

    /// Extends the term to `term` after `began`, which is when the renewal was sent.
    pub fn extend(&self, began: Duration, term: Duration) {
        let ends = u64::try_from((began + term).as_millis()).unwrap_or(u64::MAX);
        self.term_ends.fetch_max(ends, Ordering::Relaxed);
    }

    /// Whether another run may have begun.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.watch.elapsed_ms() >= self.term_ends.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_ends_unless_it_is_extended() {
        let fence = WriteFence::new(1, Duration::ZERO);
        assert!(fence.is_over());
        fence.extend(fence.elapsed(), Duration::from_mins(1));
        assert!(!fence.is_over());
        fence.extend(Duration::ZERO, Duration::ZERO);
        assert!(!fence.is_over(), "an answer that comes late takes nothing back");
    }
}
