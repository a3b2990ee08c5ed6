//! Waiting between attempts.

use std::time::Duration;

use rand::Rng;

/// Exponential backoff with full jitter, within a deadline for all attempts together.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
    left: Duration,
}

impl Backoff {
    /// Starts with waits of up to `first`, doubling up to `longest`; all waits together last at most `deadline`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration, deadline: Duration) -> Self {
        Self { next: first, longest, left: deadline }
    }

    /// How long to wait before the next attempt; `None` when the deadline is used up.
    pub fn next_wait(&mut self) -> Option<Duration> {
        if self.left.is_zero() {
            return None;
        }
        let wait = self.next.mul_f64(rand::rng().random_range(0.5..=1.0)).min(self.left);
        self.left -= wait;
        self.next = (self.next * 2).min(self.longest);
        Some(wait)
    }
}

impl Default for Backoff {
    /// 100 ms doubling to 5 s, for a minute.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5), Duration::from_mins(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_never_exceed_the_deadline_together() {
        let deadline = Duration::from_secs(3);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1), deadline);
        let mut total = Duration::ZERO;
        while let Some(wait) = backoff.next_wait() {
            assert!(wait <= Duration::from_secs(1));
            total += wait;
        }
        assert_eq!(total, deadline);
    }
}
