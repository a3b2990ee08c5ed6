//! Which files there are: listed at most every few seconds, by one request for all.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::NaiveDate;
use common::lake::{Lake, LakeError, ObjectMeta, date_of};
use common::run::Stopwatch;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use quick_cache::sync::Cache;

/// A listing of this age is still used, and the next one is fetched behind it.
const RENEW_AFTER: Duration = Duration::from_millis(1_500);

/// A listing of this age is used no more: with a second for reading, an answer is never older than 5 s.
const USE_UNTIL: Duration = Duration::from_secs(4);

/// A store that lists slower than this counts as down.
const DEADLINE: Duration = USE_UNTIL;

/// Folders whose listing is kept: `events` and the summary dates that are asked for.
const FOLDERS: usize = 2_048;

/// One content of one file.
#[derive(Debug, Clone)]
pub struct FileRef(pub Arc<ObjectMeta>);

impl PartialEq for FileRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.version == other.0.version && self.0.path == other.0.path)
    }
}

impl Eq for FileRef {}

impl Hash for FileRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.version.hash(state);
        self.0.path.hash(state);
    }
}

/// A data file and the date of its folder.
#[derive(Debug, Clone)]
pub struct DatedFile {
    pub date: NaiveDate,
    pub file: FileRef,
}

/// The data files of a folder at one time, by date.
#[derive(Debug)]
pub struct Listing {
    files: Vec<DatedFile>,
    since: Stopwatch,
}

impl Listing {
    /// Files of the dates `from..=to`.
    pub fn between(&self, from: Option<NaiveDate>, to: Option<NaiveDate>) -> &[DatedFile] {
        let start = from.map_or(0, |from| self.files.partition_point(|file| file.date < from));
        let end = to.map_or(self.files.len(), |to| self.files.partition_point(|file| file.date <= to));
        self.files.get(start..end).unwrap_or_default()
    }
}

/// How new a listing must be.
#[derive(Debug, Clone, Copy)]
pub enum Freshness {
    /// New enough for any answer.
    Recent,
    /// Begun after this.
    Since(Stopwatch),
}

impl Freshness {
    fn allows(self, listing: &Listing) -> bool {
        let age = listing.since.elapsed();
        match self {
            Self::Recent => age < USE_UNTIL,
            Self::Since(asked) => age <= asked.elapsed(),
        }
    }
}

/// The listings in use.
pub struct Listings {
    lake: Lake,
    folders: Cache<String, Arc<Folder>>,
}

/// A listing that several wait for.
type Coming = Shared<BoxFuture<'static, Result<Arc<Listing>, LakeError>>>;

#[derive(Default)]
struct Folder(Mutex<State>);

#[derive(Default)]
struct State {
    latest: Option<Arc<Listing>>,
    /// The listing on its way, for everyone who waits for it.
    coming: Option<Coming>,
}

impl Listings {
    pub fn new(lake: Lake) -> Self {
        Self { lake, folders: Cache::new(FOLDERS) }
    }

    /// The data files under `folder`, whose dates are in `column=…` folders.
    pub async fn get(
        &self,
        folder: &str,
        column: &'static str,
        freshness: Freshness,
    ) -> Result<Arc<Listing>, LakeError> {
        let state = self.folders.get_or_insert_with(folder, || Ok::<_, LakeError>(Arc::default()))?;
        loop {
            let coming = {
                let mut locked = state.lock();
                let usable = locked.latest.clone().filter(|listing| freshness.allows(listing));
                let renew = usable.as_ref().is_none_or(|listing| listing.since.elapsed() > RENEW_AFTER);
                if renew && locked.coming.is_none() {
                    locked.coming = Some(self.begin(Arc::clone(&state), folder.to_owned(), column));
                }
                match usable {
                    Some(listing) => return Ok(listing),
                    None => locked.coming.clone().expect("begun above"),
                }
            };
            coming.await?;
        }
    }

    /// A task of its own, so that a client who goes away takes nobody's listing along.
    fn begin(&self, state: Arc<Folder>, folder: String, column: &'static str) -> Coming {
        let lake = self.lake.clone();
        let listing = tokio::spawn(async move {
            let listed = list(&lake, &folder, column).await.map(Arc::new);
            let mut locked = state.lock();
            locked.coming = None;
            if let Ok(listing) = &listed {
                locked.latest = Some(Arc::clone(listing));
            }
            listed
        });
        listing.map(|joined| joined.expect("listing does not panic")).boxed().shared()
    }
}

impl Folder {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn list(lake: &Lake, folder: &str, column: &str) -> Result<Listing, LakeError> {
    let since = Stopwatch::start();
    let objects =
        tokio::time::timeout(DEADLINE, lake.list(folder)).await.map_err(|_| LakeError::Unavailable {
            action: format!("list {folder} in the lake"),
            reason: format!("no answer within {DEADLINE:?}"),
        })??;
    let mut files: Vec<DatedFile> = objects
        .into_iter()
        .filter(|object| is_data(&object.path))
        .filter_map(|object| {
            Some(DatedFile { date: date_of(&object.path, column)?, file: FileRef(object.into()) })
        })
        .collect();
    files.sort_by_key(|file| file.date);
    Ok(Listing { files, since })
}

/// As Hive has it: what begins with `_` or `.` is nobody's data.
fn is_data(path: &str) -> bool {
    path.ends_with(".parquet") && !path.split('/').any(|part| part.starts_with(['_', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::lake::Version;

    fn file(date: &str) -> DatedFile {
        let meta = ObjectMeta {
            path: format!("events/event_date={date}/a.parquet"),
            size: 1,
            version: Version("v".into()),
        };
        DatedFile { date: date.parse().unwrap(), file: FileRef(meta.into()) }
    }

    #[test]
    fn both_dates_are_inclusive_and_a_reversed_range_is_empty() {
        let days = ["2025-01-01", "2025-01-02", "2025-01-02", "2025-01-04"];
        let listing = Listing { files: days.map(file).to_vec(), since: Stopwatch::start() };
        let count = |from: &str, to: &str| listing.between(from.parse().ok(), to.parse().ok()).len();
        assert_eq!(count("", ""), 4);
        assert_eq!(count("2025-01-02", "2025-01-02"), 2);
        assert_eq!(count("2025-01-02", ""), 3);
        assert_eq!(count("", "2025-01-03"), 3);
        assert_eq!(count("2025-01-05", ""), 0);
        assert_eq!(count("2025-01-04", "2025-01-01"), 0);
    }

    #[test]
    fn only_parquet_files_outside_hidden_folders_are_data() {
        assert!(is_data("events/event_date=2025-01-01/t-0-0.parquet"));
        for path in [
            "events/_tmp/event_date=2025-01-01/x.parquet",
            "events/event_date=2025-01-01/_SUCCESS",
            "events/event_date=2025-01-01/.x.parquet",
        ] {
            assert!(!is_data(path), "{path}");
        }
    }
}
