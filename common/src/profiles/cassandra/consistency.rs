//! Consistency levels, and whether a keyspace's replication can satisfy them.

use scylla::cluster::metadata::Strategy;
use scylla::statement::Consistency;

/// The level of that name.
pub(super) fn level(name: &str) -> Result<Consistency, String> {
    Ok(match name {
        "one" => Consistency::One,
        "two" => Consistency::Two,
        "three" => Consistency::Three,
        "quorum" => Consistency::Quorum,
        "all" => Consistency::All,
        "local_quorum" => Consistency::LocalQuorum,
        "each_quorum" => Consistency::EachQuorum,
        "local_one" => Consistency::LocalOne,
        _ => {
            return Err(format!(
                "unknown consistency {name}; one, two, three, quorum, all, local_quorum, each_quorum, local_one"
            ));
        }
    })
}

/// Refuses a level that can never be reached in `keyspace`: each write would fail with "unavailable", as if nodes
/// were down.
pub(super) fn check(
    level: &str,
    keyspace: &str,
    strategy: &Strategy,
    local_datacenter: Option<&str>,
) -> Result<(), String> {
    let replicas: usize = match strategy {
        Strategy::SimpleStrategy { replication_factor } => *replication_factor,
        Strategy::NetworkTopologyStrategy { datacenter_repfactors } => datacenter_repfactors.values().sum(),
        // Nothing is known of these.
        _ => return Ok(()),
    };
    let wanted = match level {
        "two" => 2,
        "three" => 3,
        _ => 1,
    };
    let problem = if replicas < wanted {
        Some(format!("it needs {wanted} replicas of a row"))
    } else {
        misplaced(level, strategy, local_datacenter)
    };
    problem.map_or(Ok(()), |problem| {
        Err(format!(
            "consistency {level} can never be reached: {problem}, and keyspace {keyspace} is replicated as {}; choose another \
             level (?consistency=), or change the replication (ALTER KEYSPACE {keyspace} WITH replication = …)",
            shown(strategy)
        ))
    })
}

fn misplaced(level: &str, strategy: &Strategy, local_datacenter: Option<&str>) -> Option<String> {
    match (level, strategy) {
        ("each_quorum", Strategy::SimpleStrategy { .. }) => {
            Some("it needs replicas by data centre (NetworkTopologyStrategy)".to_owned())
        }
        ("local_quorum" | "local_one", Strategy::NetworkTopologyStrategy { datacenter_repfactors }) => {
            let local = local_datacenter?;
            let replicas = datacenter_repfactors.get(local).copied().unwrap_or_default();
            (replicas == 0)
                .then(|| format!("it needs a replica in {local}, the data centre of the given hosts"))
        }
        _ => None,
    }
}

fn shown(strategy: &Strategy) -> String {
    match strategy {
        Strategy::SimpleStrategy { replication_factor } => {
            format!("SimpleStrategy, replication_factor {replication_factor}")
        }
        Strategy::NetworkTopologyStrategy { datacenter_repfactors } => {
            let mut factors: Vec<String> =
                datacenter_repfactors.iter().map(|(name, factor)| format!("{name} {factor}")).collect();
            factors.sort();
            format!("NetworkTopologyStrategy, {}", factors.join(", "))
        }
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_the_replication_cannot_satisfy_is_refused() {
        let simple = |replication_factor| Strategy::SimpleStrategy { replication_factor };
        let by_datacenter = |factors: &[(&str, usize)]| Strategy::NetworkTopologyStrategy {
            datacenter_repfactors: factors
                .iter()
                .map(|(name, factor)| ((*name).to_owned(), *factor))
                .collect(),
        };
        for (name, strategy, problem) in [
            ("one", simple(1), None),
            ("quorum", simple(1), None),
            ("local_quorum", simple(1), None),
            ("all", simple(3), None),
            ("two", simple(1), Some("2 replicas")),
            ("three", simple(2), Some("3 replicas")),
            ("three", simple(3), None),
            ("one", simple(0), Some("1 replicas")),
            ("each_quorum", simple(3), Some("NetworkTopologyStrategy")),
            ("each_quorum", by_datacenter(&[("here", 1)]), None),
            ("local_quorum", by_datacenter(&[("here", 3)]), None),
            ("local_quorum", by_datacenter(&[("there", 3)]), Some("a replica in here")),
            ("local_one", by_datacenter(&[("there", 3), ("here", 0)]), Some("a replica in here")),
            ("three", by_datacenter(&[("there", 1), ("here", 1)]), Some("3 replicas")),
            ("quorum", by_datacenter(&[("there", 3)]), None),
        ] {
            let checked = check(name, "shop", &strategy, Some("here"));
            match (checked, problem) {
                (Ok(()), None) => {}
                (Err(message), Some(problem)) => {
                    let parts = [name, problem, "keyspace shop", "?consistency=", "ALTER KEYSPACE shop"];
                    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
                }
                (checked, _) => panic!("{name} on {strategy:?}: {checked:?}"),
            }
        }
    }

    #[test]
    fn where_the_local_data_centre_is_not_known_a_local_level_is_left_to_the_cluster() {
        let strategy = Strategy::NetworkTopologyStrategy {
            datacenter_repfactors: [("there".to_owned(), 3)].into_iter().collect(),
        };
        assert_eq!(check("local_quorum", "shop", &strategy, None), Ok(()));
    }
}
