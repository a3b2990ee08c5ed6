//! Who buys and what is bought.

use clap::ValueEnum;
use rand::Rng;

/// Softens the head of the distribution: the first of 5,000 gets 1.5 % of everything, not 11 %.
const SHIFT: u64 = 10;

/// How often each customer buys and each product is bought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Spread {
    /// Few often, most seldom: the one of rank r in proportion to 1 / (r + 10).
    #[default]
    Skewed,
    /// All alike.
    Even,
}

/// A distribution over `0..n`. Skewed it is Zipf–Mandelbrot: the one of rank r is picked in proportion to 1 / (r + 10).
///
/// In whole numbers only, so that a seed value means the same picks on every machine.
#[derive(Debug, Clone)]
pub(crate) struct Popularity {
    /// Σ of the weights up to each rank.
    cumulative: Vec<u64>,
    stride: u64,
}

impl Popularity {
    /// A distribution over `0..n`, which must not be empty.
    pub(crate) fn over(n: usize, spread: Spread) -> Self {
        let mut sum = 0;
        let weight = |rank: u64| match spread {
            Spread::Skewed => (1 << 32) / (rank + SHIFT) + 1,
            Spread::Even => 1,
        };
        let cumulative = (1..).take(n).map(|rank| {
            sum += weight(rank);
            sum
        });
        let cumulative: Vec<u64> = cumulative.collect();
        let n = n as u64;
        // A stride without a common divisor visits everyone once: the popular are spread over the ids.
        let stride = (n * 618 / 1_000 + 1..=n).find(|stride| gcd(*stride, n) == 1).unwrap_or(1);
        Self { cumulative, stride }
    }

    /// Picks one of `0..n`.
    pub(crate) fn pick(&self, rng: &mut impl Rng) -> usize {
        let total = *self.cumulative.last().expect("somebody to pick from");
        let at = rng.random_range(0..total);
        let rank = self.cumulative.partition_point(|sum| *sum <= at) as u64;
        let n = self.cumulative.len() as u64;
        usize::try_from(rank * self.stride % n).expect("below n, which is a usize")
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn counts(n: usize, picks: usize, spread: Spread) -> Vec<usize> {
        let popularity = Popularity::over(n, spread);
        let mut rng = StdRng::seed_from_u64(7);
        let mut counts = vec![0; n];
        for _ in 0..picks {
            counts[popularity.pick(&mut rng)] += 1;
        }
        counts
    }

    #[test]
    fn most_buy_little_and_some_much() {
        let mut counts = counts(5_000, 400_000, Spread::Skewed);
        counts.sort_unstable();
        let (median, top) = (counts[2_500], counts[4_999]);
        assert!((20..35).contains(&median), "median {median}, mean 80");
        assert!((5_000..7_000).contains(&top), "top {top}");
        let best_tenth: usize = counts[4_500..].iter().sum();
        assert!(best_tenth > 220_000, "a tenth of the customers make more than half: {best_tenth}");
    }

    #[test]
    fn an_even_spread_favours_nobody() {
        let counts = counts(500, 500_000, Spread::Even);
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }

    #[test]
    fn everyone_can_be_picked() {
        for n in [1, 2, 3, 10, 500] {
            assert!(counts(n, n * 1_000, Spread::Skewed).iter().all(|count| *count > 0), "{n}");
        }
    }
}
