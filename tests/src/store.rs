//! A lake of a test in S3 or in a directory.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::lake::Lake;

/// A lake; it is removed at the end.
#[derive(Debug)]
pub enum Store {
    /// In the bucket.
    S3(Lake),
    /// In a directory.
    Directory(TempDir),
}

/// A folder with all that is in a lake.
#[derive(Debug)]
pub struct Copy {
    path: PathBuf,
    _until_dropped: Option<TempDir>,
}

impl Copy {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store {
    /// An empty lake in the bucket.
    pub async fn s3() -> Self {
        Self::S3(Lake::empty().await)
    }

    /// An empty lake in a directory.
    #[must_use]
    pub fn directory() -> Self {
        Self::Directory(TempDir::with_prefix("tributary lake ").unwrap())
    }

    /// Its address, for programs.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::S3(lake) => lake.url.clone(),
            Self::Directory(folder) => {
                format!("file://{}", folder.path().to_str().unwrap().replace(' ', "%20"))
            }
        }
    }

    /// Everything in it, to be read.
    pub async fn copy(&self) -> Copy {
        match self {
            Self::S3(lake) => {
                let copy = lake.download().await;
                Copy { path: copy.path().to_owned(), _until_dropped: Some(copy) }
            }
            Self::Directory(folder) => Copy { path: folder.path().to_owned(), _until_dropped: None },
        }
    }

    /// What was begun, and neither completed nor thrown away.
    pub async fn unfinished(&self) -> Vec<String> {
        match self {
            Self::S3(lake) => lake.uploads().await,
            Self::Directory(folder) => {
                let staging = std::fs::read_dir(folder.path().join("_staging")).unwrap();
                let names = staging.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned());
                names.filter(|name| name != ".lock").collect()
            }
        }
    }

    /// Throws all of it away, as a bucket's lifecycle rule does.
    pub async fn abort_unfinished(&self) {
        match self {
            Self::S3(lake) => lake.abort_uploads().await,
            Self::Directory(folder) => {
                for name in self.unfinished().await {
                    std::fs::remove_file(folder.path().join("_staging").join(name)).unwrap();
                }
            }
        }
    }
}
