//! What a run has taken out of quarantine, and what it has left there.

use std::collections::HashMap;

use serde::Serialize;

use crate::quality::{Quarantined, Reason};
use crate::source::{Job, QuarantinedKey};

/// Keys that are named; the others are counted.
const NAMED: usize = 100;

/// What became of the keys in quarantine.
#[derive(Debug, Serialize)]
pub(super) struct Retried {
    pub pipeline: &'static str,
    pub left: Keys,
    pub stayed: Keys,
    /// New in quarantine since.
    pub entered: Keys,
}

/// Some keys, with their reasons where they are in quarantine.
#[derive(Debug, Default, Serialize)]
pub(super) struct Keys {
    pub count: usize,
    /// The first of them.
    pub keys: Vec<Named>,
}

#[derive(Debug, Serialize)]
pub(super) struct Named {
    pub entity: &'static str,
    pub id: Option<i128>,
    pub reasons: Vec<&'static str>,
}

impl Retried {
    pub fn new(
        job: Job,
        before: &HashMap<QuarantinedKey, Quarantined>,
        after: &HashMap<QuarantinedKey, Quarantined>,
    ) -> Self {
        let some = |of: &HashMap<QuarantinedKey, Quarantined>, which: &dyn Fn(&QuarantinedKey) -> bool| {
            let mut keys: Vec<_> = of.iter().filter(|(key, _)| which(key)).collect();
            keys.sort_unstable_by_key(|(key, _)| **key);
            Keys { count: keys.len(), keys: keys.into_iter().take(NAMED).map(Named::new).collect() }
        };
        Self {
            pipeline: job.name(),
            left: some(before, &|key| !after.contains_key(key)),
            stayed: some(after, &|key| before.contains_key(key)),
            entered: some(after, &|key| !before.contains_key(key)),
        }
    }
}

impl Named {
    fn new((&(entity, id), standing): (&QuarantinedKey, &Quarantined)) -> Self {
        Self {
            entity: entity.name(),
            id: id.map(|id| entity.shown_id(id)),
            reasons: standing.reasons.iter().map(Reason::code).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::Entity;

    #[test]
    fn a_retry_tells_who_left_stayed_and_came() {
        let standing = |ids: &[i64]| {
            let says = Quarantined::new([Reason::NonPositiveQty].into_iter().collect(), "{}");
            ids.iter().map(|id| ((Entity::Transaction, Some(*id)), says)).collect::<HashMap<_, _>>()
        };
        let retried = Retried::new(Job::Profiles, &standing(&[1, 2, 3]), &standing(&[2, 4]));
        let ids = |keys: &Keys| keys.keys.iter().filter_map(|key| key.id).collect::<Vec<_>>();
        assert_eq!(
            (ids(&retried.left), ids(&retried.stayed), ids(&retried.entered)),
            (vec![1, 3], vec![2], vec![4])
        );
    }
}
