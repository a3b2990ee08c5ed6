//! The demo's folder: its own, so that a new demo may replace what an earlier one left.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Marks a folder as the demo's, and is locked while a demo uses it.
const MARKER: &str = ".tributary-demo";

/// A folder that no other demo uses, empty but for its marker.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes `wanted`, or one in the folder for temporary files that no running demo uses.
    pub fn take(wanted: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = wanted {
            let path = std::path::absolute(path)?;
            return Self::try_take(&path)?
                .with_context(|| format!("another demo is using {}", path.display()));
        }
        for number in 1..100 {
            let name =
                if number == 1 { "tributary-demo".to_owned() } else { format!("tributary-demo-{number}") };
            if let Some(folder) = Self::try_take(&std::env::temp_dir().join(name))? {
                return Ok(folder);
            }
        }
        bail!("a hundred demos are running already; give one a --folder of its own")
    }

    fn try_take(path: &Path) -> anyhow::Result<Option<Self>> {
        let marker = path.join(MARKER);
        let foreign =
            !marker.exists() && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
        if foreign {
            bail!("{} holds other files; the demo wants an empty folder or one of its own", path.display());
        }
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        let lock = File::create(&marker).with_context(|| format!("cannot write {}", marker.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            match entry.file_name() {
                name if name == MARKER => {}
                _ if entry.file_type()?.is_dir() => fs::remove_dir_all(entry.path())?,
                _ => fs::remove_file(entry.path())?,
            }
        }
        Ok(Some(Self { path: path.to_owned(), _lock: lock }))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_demo_empties_the_folder_of_the_first_but_waits_for_its_end() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("demo");
        let first = Folder::take(Some(&path)).unwrap();
        fs::create_dir_all(path.join("lake/events")).unwrap();
        assert!(Folder::take(Some(&path)).is_err(), "in use");
        drop(first);
        let second = Folder::take(Some(&path)).unwrap();
        assert!(!second.path().join("lake").exists());
    }

    #[test]
    fn a_folder_with_other_files_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("thesis.txt"), "years of work").unwrap();
        assert!(Folder::take(Some(temp.path())).is_err());
        assert!(temp.path().join("thesis.txt").exists());
    }
}
