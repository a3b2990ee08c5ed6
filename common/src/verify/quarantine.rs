//! Whether every rejected row stands in quarantine, and nothing else does.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::{Books, Findings};
use crate::quality::{Entity, QuarantineEntry, Reason, Reasons};
use crate::schema::TxnId;
use crate::source::QuarantinedKey;

/// A key that is, or should be, in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuarantineDifference {
    /// `not_in_quarantine`, `needlessly_in_quarantine` or `other_reasons`.
    pub difference: &'static str,
    /// `customer` or `transaction`.
    pub entity: &'static str,
    /// The key; `None` for the rows whose key is null.
    pub id: Option<i128>,
    /// The reasons that stand there.
    pub found: Vec<&'static str>,
    /// The reasons that should.
    pub expected: Vec<&'static str>,
}

impl fmt::Display for QuarantineDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "{} {id} ", self.entity)?,
            None => write!(f, "{} rows without an id: ", self.entity)?,
        }
        let (found, expected) = (self.found.join(", "), self.expected.join(", "));
        match self.difference {
            "not_in_quarantine" => write!(f, "is not in quarantine, should be for {expected}"),
            "needlessly_in_quarantine" => {
                write!(f, "is in quarantine for {found}, but is accepted now or gone")
            }
            _ => write!(f, "is in quarantine for {found}, should be for {expected}"),
        }
    }
}

impl QuarantineDifference {
    fn new((entity, id): QuarantinedKey, found: Option<Reasons>, expected: Option<Reasons>) -> Self {
        let difference = match (found, expected) {
            (None, _) => "not_in_quarantine",
            (_, None) => "needlessly_in_quarantine",
            _ => "other_reasons",
        };
        let codes = |reasons: Option<Reasons>| {
            reasons.unwrap_or_default().iter().map(Reason::code).collect::<Vec<_>>()
        };
        let (found, expected) = (codes(found), codes(expected));
        let id = id.map(|id| entity.shown_id(id));
        Self { difference, entity: entity.name(), id, found, expected }
    }
}

impl Books {
    /// Compares the keys in quarantine with those that should be there by `rejected`. Of other keys there may only
    /// be those that `needless` says no to.
    pub fn compare_quarantine<'e, D: From<QuarantineDifference>>(
        &self,
        rejected: impl IntoIterator<Item = &'e QuarantineEntry>,
        needless: impl Fn(&QuarantinedKey) -> bool,
        findings: &mut Findings<D>,
    ) {
        let mut expected: HashMap<QuarantinedKey, Reasons> = HashMap::new();
        for entry in rejected.into_iter().filter(|entry| !self.is_later(entry.key())) {
            expected.insert(entry.key(), entry.reasons);
        }
        let mut keys: Vec<QuarantinedKey> = expected.keys().copied().collect();
        let standing = &self.increment.quarantined;
        let others = standing.keys().filter(|key| !expected.contains_key(key) && !self.is_later(**key));
        keys.extend(others.filter(|key| needless(key)));
        keys.sort_unstable();
        for key in keys {
            let found = standing.get(&key).map(|standing| standing.reasons);
            let expected = expected.get(&key).copied();
            if found != expected {
                findings.add(QuarantineDifference::new(key, found, expected));
            }
        }
    }

    /// Whether the next run is going to look at a key anyway.
    fn is_later(&self, (entity, id): QuarantinedKey) -> bool {
        entity == Entity::Transaction && id.is_some_and(|id| self.increment.is_new(TxnId(id.cast_unsigned())))
    }
}
