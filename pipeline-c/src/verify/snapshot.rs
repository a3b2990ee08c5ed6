//! The files that belong to one content of a state object: what a reader sees right after that commit.

use std::time::Duration;

use common::lake::{Expect, Lake, ObjectMeta};

use crate::error::Error;
use crate::inventory::{Files, state};
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

/// Lists the lake until the state object before and after the listing is the same, and what it has pending is visible.
/// Instances may go on writing meanwhile.
pub async fn take(lake: &Lake, place: &Place) -> Result<Snapshot, Error> {
    let mut before = state(lake, place).await?;
    for attempt in 1..=ATTEMPTS {
        let files = Files::list(lake, &place.topic).await?.owned.remove(place).unwrap_or_default();
        let after = state(lake, place).await?;
        if let (Some(before), Some(after)) = (&before, &after)
            && before.commit == after.commit
        {
            let unpublished = unpublished(after, &files);
            if unpublished.is_empty() || attempt == ATTEMPTS {
                return Ok(Snapshot { state: after.clone(), files, unpublished });
            }
        }
        before = after;
        tokio::time::sleep(PAUSE).await;
    }
    Err(Error::Busy { place: place.clone() })
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
