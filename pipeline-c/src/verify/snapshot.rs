//! The files that belong to one content of a state object: what a reader sees right after that commit.

use std::collections::BTreeMap;
use std::time::Duration;

use common::lake::{Expect, Lake, ObjectMeta};

use crate::error::Error;
use crate::inventory::{Files, states};
use crate::place::{FileName, Place};
use crate::state::State;

/// How often the lake is listed until it shows what the state objects say.
const ATTEMPTS: u32 = 40;

/// Time between two listings.
const PAUSE: Duration = Duration::from_millis(250);

/// A partition at a commit.
#[derive(Debug)]
pub struct Snapshot {
    /// What was committed.
    pub state: State,
    /// The partition's files.
    pub files: Vec<(FileName, ObjectMeta)>,
    /// Paths that are committed, and not as the state says: an owner died before it made them visible.
    pub unpublished: Vec<String>,
}

/// Everything of a topic, each partition at a commit of its own.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// By partition.
    pub partitions: BTreeMap<Place, Snapshot>,
    /// Files of partitions that have no state object.
    pub stray: Vec<ObjectMeta>,
    /// Files whose names are not of this job's form.
    pub foreign: Vec<ObjectMeta>,
}

/// Lists the lake until the state objects before and after the listing are the same, partition by partition, and
/// what they have pending is visible. Instances may go on writing meanwhile.
pub async fn take(lake: &Lake, topic: &str) -> Result<Snapshots, Error> {
    let mut taken = Snapshots::default();
    let mut before = states(lake, topic).await?;
    for attempt in 1..=ATTEMPTS {
        let mut files = Files::list(lake, topic).await?;
        let after = states(lake, topic).await?;
        let last = attempt == ATTEMPTS;
        for (place, state) in &after {
            let still = before.get(place).is_some_and(|before| before.commit == state.commit);
            if taken.partitions.contains_key(place) || !still {
                continue;
            }
            let files = files.owned.remove(place).unwrap_or_default();
            let unpublished = unpublished(state, &files);
            if unpublished.is_empty() || last {
                taken.partitions.insert(place.clone(), Snapshot { state: state.clone(), files, unpublished });
            }
        }
        let missing = after.keys().find(|place| !taken.partitions.contains_key(place));
        match missing {
            None => {
                let stray = files.owned.into_iter().filter(|(place, _)| !after.contains_key(place));
                taken.stray = stray.flat_map(|(_, files)| files).map(|(_, meta)| meta).collect();
                taken.foreign = files.foreign;
                return Ok(taken);
            }
            Some(place) if last => return Err(Error::Busy { place: place.clone() }),
            Some(_) => {
                before = after;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    unreachable!("the last attempt returns")
}

/// Paths where the lake is not yet as the state says.
fn unpublished(state: &State, files: &[(FileName, ObjectMeta)]) -> Vec<String> {
    let standing =
        |path: &str| files.iter().find(|(_, meta)| meta.path == path).map(|(_, meta)| &meta.version);
    let hidden =
        state.all_pending().filter(|pending| match (&pending.expect, standing(&pending.file.path)) {
            (_, None) => true,
            (Expect::Version(replaced), Some(now)) => now == replaced,
            (Expect::Absent | Expect::Any, Some(_)) => false,
        });
    let left = state.removals.iter().filter(|removal| standing(&removal.path) == Some(&removal.object));
    hidden.map(|pending| pending.file.path.clone()).chain(left.map(|removal| removal.path.clone())).collect()
}
