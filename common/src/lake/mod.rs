//! The lake: objects in S3 or files in a directory, with the same promises.
//!
//! - An object appears whole or not at all, and replacing one is atomic.
//! - What is written big is **staged** first (durable, invisible) and **published** later; publishing can be
//!   conditional on what it replaces, and publishing the same staged object twice changes nothing.
//! - Small objects are replaced by compare-and-swap ([`Lake::put`] with an [`Expect`]).

mod dir;
mod error;
mod parquet;
mod paths;
mod s3;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use error::LakeError;
pub use parquet::LakeFile;
pub use paths::{EVENTS, EVENTS_MALFORMED, STATE, TXN_SUMMARY, date_folder, date_of};

use crate::settings::SecretUrl;

/// Which content of an object: S3's `ETag`, or a file's identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version(pub String);

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectMeta {
    /// Path below the lake's root, `/` between folders.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Which content.
    pub version: Version,
}

/// What must be at a path for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// Anything or nothing.
    Any,
    /// Nothing.
    Absent,
    /// This content.
    Version(Version),
}

/// An object that is durable but not visible yet. Serialisable, so that a later process can publish it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// Where it will be.
    pub path: String,
    /// Unique name of this content; kept with the object, so that a repeated publication can be told.
    pub commit: String,
    /// Size in bytes.
    pub size: u64,
    /// S3: the multipart upload's id. Directory: the staged file's name.
    pub upload: String,
    /// S3: the parts' `ETags` in order. Directory: the staged file's identity.
    pub parts: Vec<String>,
}

/// Something staged that was neither published nor aborted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Where it was to be.
    pub path: String,
    /// As in [`Staged::upload`].
    pub id: String,
}

/// A lake that is open. Clones share it.
#[derive(Debug, Clone)]
pub struct Lake {
    store: Store,
}

#[derive(Debug, Clone)]
enum Store {
    S3(Arc<s3::S3>),
    Dir(Arc<dir::Dir>),
}

impl Lake {
    /// Opens the lake at `s3://bucket/prefix` or `file:///abs/dir`; a directory is made if it is missing.
    pub async fn open(url: &SecretUrl) -> Result<Self, LakeError> {
        let store = match url.scheme() {
            "s3" => Store::S3(Arc::new(s3::S3::open(url.expose()).await?)),
            "file" => Store::Dir(Arc::new(dir::Dir::open(url.expose()).await?)),
            _ => return Err(LakeError::Address(url.clone())),
        };
        Ok(Self { store })
    }

    /// Whether the store answers; for readiness.
    pub async fn ping(&self) -> Result<(), LakeError> {
        match &self.store {
            Store::S3(s3) => s3.ping().await,
            Store::Dir(dir) => dir.ping().await,
        }
    }

    /// All objects under `folder`, at any depth, by path. `folder` ends without `/`.
    pub async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>, LakeError> {
        match &self.store {
            Store::S3(s3) => s3.list(folder).await,
            Store::Dir(dir) => dir.list(folder).await,
        }
    }

    /// Names of the folders right below `folder`, sorted.
    pub async fn list_folders(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        match &self.store {
            Store::S3(s3) => s3.list_folders(folder).await,
            Store::Dir(dir) => dir.list_folders(folder).await,
        }
    }

    /// The object at `path`, if there is one.
    pub async fn head(&self, path: &str) -> Result<Option<ObjectMeta>, LakeError> {
        match &self.store {
            Store::S3(s3) => s3.head(path).await,
            Store::Dir(dir) => dir.head(path).await,
        }
    }

    /// The whole object at `path`, if there is one.
    pub async fn get(&self, path: &str) -> Result<Option<(Bytes, Version)>, LakeError> {
        match &self.store {
            Store::S3(s3) => s3.get(path).await,
            Store::Dir(dir) => dir.get(path).await,
        }
    }

    /// Bytes of the object at `path`; [`LakeError::Changed`] when it is gone or no longer `version`.
    pub async fn get_range(
        &self,
        path: &str,
        version: &Version,
        range: Range<u64>,
    ) -> Result<Bytes, LakeError> {
        match &self.store {
            Store::S3(s3) => s3.get_range(path, version, range).await,
            Store::Dir(dir) => dir.get_range(path, version, range).await,
        }
    }

    /// Writes a small object at once; [`LakeError::Conflict`] when `expect` does not hold.
    ///
    /// After a lost answer the outcome is unknown: read the object again to tell.
    pub async fn put(&self, path: &str, body: Bytes, expect: &Expect) -> Result<Version, LakeError> {
        match &self.store {
            Store::S3(s3) => s3.put(path, body, expect).await,
            Store::Dir(dir) => dir.put(path, body, expect).await,
        }
    }

    /// Writes a whole file at once: one request where staging and publishing need three.
    ///
    /// `commit` names the content and is kept with it, so that an attempt whose answer was lost is told from
    /// another writer's. [`LakeError::Conflict`] when `expect` does not hold.
    pub async fn put_file(
        &self,
        path: &str,
        body: Bytes,
        commit: &str,
        expect: &Expect,
    ) -> Result<Version, LakeError> {
        match &self.store {
            Store::S3(s3) => s3.put_file(path, body, commit, expect).await,
            Store::Dir(dir) => dir.put(path, body, expect).await,
        }
    }

    /// Removes the object at `path` if it is `version` still; [`LakeError::Conflict`] if it is another one.
    pub async fn delete(&self, path: &str, version: &Version) -> Result<(), LakeError> {
        match &self.store {
            Store::S3(s3) => s3.delete(path, version).await,
            Store::Dir(dir) => dir.delete(path, version).await,
        }
    }

    /// Starts staging an object for `path`. `commit` names this content uniquely.
    pub async fn stage(&self, path: &str, commit: &str) -> Result<StageWriter, LakeError> {
        let inner = match &self.store {
            Store::S3(s3) => Writer::S3(s3.stage(path, commit).await?),
            Store::Dir(dir) => Writer::Dir(dir.stage(path).await?),
        };
        Ok(StageWriter { inner, path: path.to_owned(), commit: commit.to_owned() })
    }

    /// Makes a staged object visible. Repeating it changes nothing and succeeds with the same version.
    ///
    /// [`LakeError::Conflict`] when `expect` does not hold and the object there is not this one.
    pub async fn publish(&self, staged: &Staged, expect: &Expect) -> Result<Version, LakeError> {
        match &self.store {
            Store::S3(s3) => s3.publish(staged, expect).await,
            Store::Dir(dir) => dir.publish(staged, expect).await,
        }
    }

    /// Throws a staged object away; it need not exist any more.
    pub async fn abort(&self, staged: &Staged) -> Result<(), LakeError> {
        match &self.store {
            Store::S3(s3) => s3.abort(&staged.path, &staged.upload).await,
            Store::Dir(dir) => dir.abort(&staged.upload).await,
        }
    }

    /// Everything that is staged for paths below `folder`.
    ///
    /// To throw away what a dead writer left, list first, then make sure that it is dead (a lock, a fence), then
    /// abort what was listed: what is staged later may be a later writer's.
    pub async fn uploads(&self, folder: &str) -> Result<Vec<Upload>, LakeError> {
        let uploads = match &self.store {
            Store::S3(s3) => s3.uploads(folder).await?,
            Store::Dir(dir) => dir.uploads(folder).await?,
        };
        Ok(uploads.into_iter().map(|(path, id)| Upload { path, id }).collect())
    }

    /// Throws one of [`Lake::uploads`] away; it need not exist any more.
    pub async fn abort_upload(&self, upload: &Upload) -> Result<(), LakeError> {
        match &self.store {
            Store::S3(s3) => s3.abort(&upload.path, &upload.id).await,
            Store::Dir(dir) => dir.abort(&upload.id).await,
        }
    }

    /// A Parquet file to read: its content is pinned, a replacement in the middle is [`LakeError::Changed`].
    #[must_use]
    pub fn file(&self, meta: ObjectMeta) -> LakeFile {
        LakeFile::new(self.clone(), meta)
    }
}

/// Takes the bytes of an object that is being staged. Dropping it leaves something for
/// [`Lake::uploads`] to find, never a half object.
#[derive(Debug)]
pub struct StageWriter {
    inner: Writer,
    path: String,
    commit: String,
}

#[derive(Debug)]
enum Writer {
    S3(s3::PartWriter),
    Dir(dir::FileWriter),
}

impl StageWriter {
    /// Adds bytes at the end.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), LakeError> {
        match &mut self.inner {
            Writer::S3(writer) => writer.write(bytes).await,
            Writer::Dir(writer) => writer.write(bytes).await,
        }
    }

    /// What is being staged, to be thrown away where it cannot be finished.
    #[must_use]
    pub fn upload(&self) -> Upload {
        let id = match &self.inner {
            Writer::S3(writer) => writer.upload(),
            Writer::Dir(writer) => writer.name(),
        };
        Upload { path: self.path.clone(), id: id.to_owned() }
    }

    /// Makes what was written durable.
    pub async fn finish(self) -> Result<Staged, LakeError> {
        let (upload, parts, size) = match self.inner {
            Writer::S3(writer) => writer.finish().await?,
            Writer::Dir(writer) => writer.finish().await?,
        };
        Ok(Staged { path: self.path, commit: self.commit, size, upload, parts })
    }
}
