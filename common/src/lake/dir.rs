//! A lake in a local directory: write aside, fsync, rename, fsync the directory.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use url::Url;

use super::{Expect, LakeError, ObjectMeta, Staged, Version};
use crate::run::failpoint;

/// Holds what is staged and the lock; readers of data folders never see it.
const STAGING: &str = "_staging";

#[derive(Debug)]
pub(super) struct Dir {
    root: PathBuf,
}

impl Dir {
    pub(super) async fn open(url: &Url) -> Result<Self, LakeError> {
        let root = url.to_file_path().map_err(|()| LakeError::Refused {
            action: format!("open the lake {url}"),
            reason: "a directory is written file:///abs/dir".to_owned(),
        })?;
        let dir = Self { root };
        let staging = dir.root.join(STAGING);
        blocking(move || fs::create_dir_all(&staging).map_err(|e| fault("make", &staging, &e))).await?;
        Ok(dir)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(super) async fn ping(&self) -> Result<(), LakeError> {
        let root = self.root.clone();
        blocking(move || fs::read_dir(&root).map(drop).map_err(|e| fault("list", &root, &e))).await
    }

    pub(super) async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>, LakeError> {
        let (root, folder) = (self.root.clone(), folder.to_owned());
        blocking(move || {
            let mut found = Vec::new();
            walk(&root, &folder, &mut found).map_err(|e| fault("list", &root.join(&folder), &e))?;
            found.sort_by(|a: &ObjectMeta, b| a.path.cmp(&b.path));
            Ok(found)
        })
        .await
    }

    pub(super) async fn list_folders(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        let at = self.at(folder);
        blocking(move || {
            let mut names = Vec::new();
            for entry in entries(&at).map_err(|e| fault("list", &at, &e))? {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    names.push(entry.file_name().to_string_lossy().into_owned());
                }
            }
            names.sort();
            Ok(names)
        })
        .await
    }

    pub(super) async fn head(&self, path: &str) -> Result<Option<ObjectMeta>, LakeError> {
        let (at, path) = (self.at(path), path.to_owned());
        blocking(move || {
            let meta = existing(fs::metadata(&at)).map_err(|e| fault("look at", &at, &e))?;
            Ok(meta.map(|meta| ObjectMeta { path, size: meta.len(), version: identity(&meta) }))
        })
        .await
    }

    pub(super) async fn get(&self, path: &str) -> Result<Option<(Bytes, Version)>, LakeError> {
        let at = self.at(path);
        blocking(move || {
            let read = || -> io::Result<Option<(Bytes, Version)>> {
                let Some(file) = existing(File::open(&at))? else { return Ok(None) };
                let meta = file.metadata()?;
                let mut content = vec![0; usize::try_from(meta.len()).map_err(io::Error::other)?];
                file.read_exact_at(&mut content, 0)?;
                Ok(Some((content.into(), identity(&meta))))
            };
            read().map_err(|e| fault("read", &at, &e))
        })
        .await
    }

    pub(super) async fn get_range(
        &self,
        path: &str,
        version: &Version,
        range: Range<u64>,
    ) -> Result<Bytes, LakeError> {
        let (at, path, version) = (self.at(path), path.to_owned(), version.clone());
        blocking(move || {
            let read = || -> io::Result<Option<Bytes>> {
                let Some(file) = existing(File::open(&at))? else { return Ok(None) };
                if identity(&file.metadata()?) != version {
                    return Ok(None);
                }
                let mut content =
                    vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
                file.read_exact_at(&mut content, range.start)?;
                Ok(Some(content.into()))
            };
            read().map_err(|e| fault("read", &at, &e))?.ok_or(LakeError::Changed(path))
        })
        .await
    }

    pub(super) async fn put(&self, path: &str, body: Bytes, expect: &Expect) -> Result<Version, LakeError> {
        let mut writer = self.stage(path).await?;
        let name = writer.name.clone();
        let result = async {
            writer.write(body).await?;
            let (upload, parts, size) = writer.finish().await?;
            let staged = Staged { path: path.to_owned(), commit: String::new(), size, upload, parts };
            self.publish(&staged, expect).await
        }
        .await;
        if result.is_err() {
            self.abort(&name).await?;
        }
        result
    }

    pub(super) async fn delete(&self, path: &str, version: &Version) -> Result<(), LakeError> {
        let (at, root, path, version) = (self.at(path), self.root.clone(), path.to_owned(), version.clone());
        blocking(move || {
            let remove = || -> io::Result<bool> {
                let _lock = locked(&root)?;
                match existing(fs::metadata(&at))? {
                    Some(found) if identity(&found) != version => return Ok(false),
                    Some(_) => fs::remove_file(&at)?,
                    None => {}
                }
                // A date without a file leaves no empty folder behind; one that is not empty stays.
                if let Some(folder) = at.parent().filter(|folder| *folder != root) {
                    let _ = fs::remove_dir(folder);
                }
                Ok(true)
            };
            let removed = remove().map_err(|e| fault("remove", &at, &e))?;
            if removed { Ok(()) } else { Err(LakeError::Conflict(path)) }
        })
        .await
    }

    pub(super) async fn stage(&self, path: &str) -> Result<FileWriter, LakeError> {
        let name = format!("{}.{}", path.replace('/', "!"), uuid::Uuid::new_v4());
        let at = self.root.join(STAGING).join(&name);
        let opened = at.clone();
        let file =
            blocking(move || File::create_new(&opened).map_err(|e| fault("write", &opened, &e))).await?;
        Ok(FileWriter { file, at, name, size: 0 })
    }

    pub(super) async fn publish(&self, staged: &Staged, expect: &Expect) -> Result<Version, LakeError> {
        let (root, staged, expect) = (self.root.clone(), staged.clone(), expect.clone());
        blocking(move || publish(&root, &staged, &expect)).await
    }

    pub(super) async fn abort(&self, upload: &str) -> Result<(), LakeError> {
        let at = self.root.join(STAGING).join(upload);
        blocking(move || existing(fs::remove_file(&at)).map(drop).map_err(|e| fault("remove", &at, &e))).await
    }

    /// Path and staged file of everything that is staged for paths below `folder`.
    pub(super) async fn uploads(&self, folder: &str) -> Result<Vec<(String, String)>, LakeError> {
        let (staging, below) = (self.root.join(STAGING), format!("{folder}/"));
        blocking(move || {
            let found = entries(&staging).map_err(|e| fault("list", &staging, &e))?;
            Ok(found
                .into_iter()
                .filter_map(|entry| {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    let path = name.rsplit_once('.')?.0.replace('!', "/");
                    path.starts_with(&below).then_some((path, name))
                })
                .collect())
        })
        .await
    }
}

/// Holds the lake's lock until it is dropped.
fn locked(root: &Path) -> io::Result<File> {
    let lock = File::create(root.join(STAGING).join(".lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// Checks and renames under the lake's lock, so that compare-and-swap is one step for all writers.
fn publish(root: &Path, staged: &Staged, expect: &Expect) -> Result<Version, LakeError> {
    let staging = root.join(STAGING);
    let (from, to) = (staging.join(&staged.upload), root.join(&staged.path));
    let rename = || -> io::Result<Option<Version>> {
        let _lock = locked(root)?;
        let current = existing(fs::metadata(&to))?.map(|meta| identity(&meta));
        let ours = Version(staged.parts.concat());
        if current.as_ref() == Some(&ours) {
            return Ok(Some(ours)); // published before
        }
        let as_expected = match expect {
            Expect::Any => true,
            Expect::Absent => current.is_none(),
            Expect::Version(version) => current.as_ref() == Some(version),
        };
        if !as_expected || existing(fs::metadata(&from))?.is_none() {
            return Ok(None);
        }
        let folder = to.parent().unwrap_or(root);
        fs::create_dir_all(folder)?;
        fs::rename(&from, &to)?;
        failpoint("renamed");
        for ancestor in folder.ancestors().take_while(|folder| folder.starts_with(root)) {
            File::open(ancestor)?.sync_all()?;
        }
        Ok(Some(ours))
    };
    rename().map_err(|e| fault("publish", &to, &e))?.ok_or_else(|| LakeError::Conflict(staged.path.clone()))
}

#[derive(Debug)]
pub(super) struct FileWriter {
    file: File,
    at: PathBuf,
    name: String,
    size: u64,
}

impl FileWriter {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), LakeError> {
        self.size += bytes.len() as u64;
        let (mut file, at) =
            (self.file.try_clone().map_err(|e| fault("write", &self.at, &e))?, self.at.clone());
        blocking(move || file.write_all(&bytes).map_err(|e| fault("write", &at, &e))).await
    }

    pub(super) async fn finish(self) -> Result<(String, Vec<String>, u64), LakeError> {
        let (file, at) = (self.file, self.at);
        let version = blocking(move || {
            let sync = || -> io::Result<Version> {
                file.sync_all()?;
                Ok(identity(&file.metadata()?))
            };
            sync().map_err(|e| fault("write", &at, &e))
        })
        .await?;
        Ok((self.name, vec![version.0], self.size))
    }
}

/// A file keeps its identity when it is renamed, and a new file of the same name has another.
fn identity(meta: &Metadata) -> Version {
    Version(format!("{:x}-{:x}.{:x}-{:x}", meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()))
}

fn walk(root: &Path, folder: &str, found: &mut Vec<ObjectMeta>) -> io::Result<()> {
    for entry in entries(&root.join(folder))? {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        match existing(entry.metadata())? {
            Some(meta) if meta.is_dir() => walk(root, &path, found)?,
            Some(meta) => found.push(ObjectMeta { path, size: meta.len(), version: identity(&meta) }),
            None => {}
        }
    }
    Ok(())
}

/// The entries of a folder; none when it does not exist.
fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    existing(fs::read_dir(folder))?.map_or_else(|| Ok(Vec::new()), Iterator::collect)
}

fn existing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn fault(action: &str, path: &Path, error: &io::Error) -> LakeError {
    let (action, reason) = (format!("{action} {}", path.display()), error.to_string());
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory => {
            LakeError::Refused { action, reason }
        }
        _ => LakeError::Unavailable { action, reason },
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LakeError> + Send + 'static,
) -> Result<T, LakeError> {
    tokio::task::spawn_blocking(work).await.expect("file work does not panic")
}
