//! Ranges of customers, worked through one after the other where all of them do not fit into memory.

use crate::schema::CustomerId;

/// The customers above `after` and not above `until`; without one of them that end is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CustomerRange {
    /// The last customer of the range before this one.
    pub after: Option<CustomerId>,
    /// The last customer of this one.
    pub until: Option<CustomerId>,
}

impl CustomerRange {
    /// Ranges that have `fit` at most, by how much each customer has. The outer ends are open, so that nobody is left
    /// out whatever was written since the counting. A customer is never split.
    #[must_use]
    pub fn split(counts: &[(CustomerId, u64)], fit: u64) -> Vec<Self> {
        let (mut ranges, mut after, mut sum) = (Vec::new(), None, 0);
        for pair in counts.windows(2) {
            let [(customer, count), (_, next)] = pair else { continue };
            sum += count;
            if sum + next > fit {
                ranges.push(Self { after, until: Some(*customer) });
                (after, sum) = (Some(*customer), 0);
            }
        }
        ranges.push(Self { after, until: None });
        ranges
    }

    /// Whether `id` is one of them.
    #[must_use]
    pub fn contains(self, id: CustomerId) -> bool {
        self.after.is_none_or(|after| id > after) && self.until.is_none_or(|until| id <= until)
    }

    /// The condition on a column or expression; `TRUE` where both ends are open.
    pub(super) fn condition(self, column: &str) -> String {
        match (self.after, self.until) {
            (None, None) => "TRUE".to_owned(),
            (Some(after), None) => format!("{column} > {after}"),
            (None, Some(until)) => format!("{column} <= {until}"),
            (Some(after), Some(until)) => format!("{column} > {after} AND {column} <= {until}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_fit_and_leave_nobody_out() {
        let id = |id| Some(CustomerId(id));
        let range = |after, until| CustomerRange { after, until };
        let counts = |counts: &[(i32, u64)]| -> Vec<_> {
            counts.iter().map(|(id, count)| (CustomerId(*id), *count)).collect()
        };
        assert_eq!(CustomerRange::split(&[], 10), [range(None, None)]);
        let one = CustomerRange::split(&counts(&[(1, 99)]), 10);
        assert_eq!(one, [range(None, None)], "a customer is never split");
        let counts = counts(&[(1, 4), (2, 6), (5, 1), (7, 30), (8, 2), (9, 8)]);
        let ranges = CustomerRange::split(&counts, 10);
        assert_eq!(
            ranges,
            [range(None, id(2)), range(id(2), id(5)), range(id(5), id(7)), range(id(7), None)]
        );
        for customer in -1..12 {
            let within = ranges.iter().filter(|range| range.contains(CustomerId(customer))).count();
            assert_eq!(within, 1, "customer {customer}");
        }
    }

    #[test]
    fn a_condition_says_what_contains_says() {
        let range = CustomerRange { after: Some(CustomerId(-3)), until: Some(CustomerId(7)) };
        assert_eq!(range.condition("c"), "c > -3 AND c <= 7");
        assert_eq!(CustomerRange::default().condition("c"), "TRUE");
    }
}
