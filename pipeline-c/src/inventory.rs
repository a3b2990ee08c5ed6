//! What the lake holds of a topic: state objects and data files.

use std::collections::{BTreeMap, HashMap};

use common::lake::{EVENTS, EVENTS_MALFORMED, Lake, LakeError, ObjectMeta, STATE, Version};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::error::Error;
use crate::place::{FileName, Place};
use crate::state::{DataFile, State};

/// Footers that are read at once.
const FOOTERS_AT_ONCE: usize = 16;

/// The state objects of a topic's partitions, by partition, or what is wrong with them.
pub async fn states(lake: &Lake, topic: &str) -> Result<BTreeMap<Place, Result<State, Error>>, Error> {
    let mut states = BTreeMap::new();
    for meta in lake.list(&format!("{STATE}/{EVENTS}")).await? {
        let Some(place) = Place::of_state(topic, &meta.path) else { continue };
        if let Some(state) = state(lake, &place).await.transpose() {
            states.insert(place, state);
        }
    }
    Ok(states)
}

/// The state object of a partition.
pub async fn state(lake: &Lake, place: &Place) -> Result<Option<State>, Error> {
    let found = lake.get(&place.state_path()).await?;
    found.map(|(json, _)| State::parse(place, &json)).transpose()
}

/// The data files that stand in the lake.
#[derive(Debug, Default)]
pub struct Files {
    /// Those that a partition of the topic wrote, as their names say.
    pub owned: BTreeMap<Place, Vec<(FileName, ObjectMeta)>>,
    /// Those whose names are not of this job's form.
    pub foreign: Vec<ObjectMeta>,
}

impl Files {
    /// Lists both outputs.
    pub async fn list(lake: &Lake, topic: &str) -> Result<Self, LakeError> {
        let mut files = Self::default();
        let (events, malformed) = futures::try_join!(lake.list(EVENTS), lake.list(EVENTS_MALFORMED))?;
        for meta in events.into_iter().chain(malformed) {
            match FileName::parse(&meta.path) {
                Some(name) if &*name.place.topic == topic => {
                    files.owned.entry(name.place.clone()).or_default().push((name, meta));
                }
                Some(_) => {}
                None => files.foreign.push(meta),
            }
        }
        Ok(files)
    }

    /// How many files the partition has, and the first of them by offset.
    #[must_use]
    pub fn of(&self, place: &Place) -> Option<(usize, String)> {
        let owned = self.owned.get(place)?;
        let first = owned.iter().min_by_key(|(name, _)| (name.generation, name.first_offset))?;
        Some((owned.len(), first.1.path.clone()))
    }

    /// What stands at a path of the partition.
    #[must_use]
    pub fn standing(&self, place: &Place, path: &str) -> Option<&Version> {
        let mut owned = self.owned.get(place)?.iter();
        owned.find(|(_, meta)| meta.path == path).map(|(_, meta)| &meta.version)
    }
}

/// Footers that were read before; a content never changes.
pub type Footers = HashMap<ObjectMeta, Described>;

/// A file as its footer describes it.
#[derive(Debug, Clone)]
pub struct Described {
    /// What it holds; `flush` is not known from a footer.
    pub file: DataFile,
    /// The object.
    pub meta: ObjectMeta,
}

/// A file whose footer cannot be read, or contradicts its name.
#[derive(Debug, Clone)]
pub struct Undescribed {
    /// Its path.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

/// Reads the footers of files. Damaged ones are told apart; a file that was replaced since it was listed is
/// [`LakeError::Changed`].
pub async fn describe(
    lake: &Lake,
    files: &[(FileName, ObjectMeta)],
    known: &mut Footers,
) -> Result<(Vec<Described>, Vec<Undescribed>), LakeError> {
    let mut described: Vec<_> = stream::iter(files)
        .map(async |(name, meta)| {
            if let Some(described) = known.get(meta) {
                return Ok(Ok(described.clone()));
            }
            let footer = match lake.file(meta.clone()).footer().await {
                Ok(footer) => footer,
                Err(LakeError::Damaged { path, reason }) => return Ok(Err(Undescribed { path, reason })),
                Err(error) => return Err(error),
            };
            let labels = footer.file_metadata().key_value_metadata();
            let label = |key: &str| {
                let pair = labels?.iter().find(|pair| pair.key.strip_prefix("tributary.") == Some(key));
                pair?.value.as_deref()
            };
            let partition = name.place.partition.0.to_string();
            let own = label("topic") == Some(&name.place.topic) && label("partition") == Some(&partition);
            let last_offset = label("last_offset").and_then(|offset| offset.parse().ok());
            let Some(last_offset) = last_offset.filter(|_| own && label("commit").is_some()) else {
                let reason = "its footer does not name this partition, its offsets and its commit".to_owned();
                return Ok(Err(Undescribed { path: meta.path.clone(), reason }));
            };
            let file = DataFile {
                path: meta.path.clone(),
                stream: name.stream,
                date: name.date,
                first_offset: name.first_offset,
                last_offset,
                rows: u64::try_from(footer.file_metadata().num_rows()).unwrap_or_default(),
                bytes: meta.size,
                flush: 0,
                generation: name.generation,
            };
            Ok(Ok(Described { file, meta: meta.clone() }))
        })
        .buffer_unordered(FOOTERS_AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?
        .into_iter()
        .collect();
    described.sort_by(|a, b| path_of(a).cmp(path_of(b)));
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for described in described {
        match described {
            Ok(described) => good.push(described),
            Err(undescribed) => bad.push(undescribed),
        }
    }
    known.extend(good.iter().map(|described: &Described| (described.meta.clone(), described.clone())));
    Ok((good, bad))
}

fn path_of(described: &Result<Described, Undescribed>) -> &str {
    match described {
        Ok(described) => &described.meta.path,
        Err(undescribed) => &undescribed.path,
    }
}
