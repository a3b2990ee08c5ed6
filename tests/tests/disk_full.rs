//! Pipeline C and a directory without room: a clear error, nothing half-done, and on it goes when there is room.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tests::events::assert_exactly_once;
use tests::observer::Observer;
use tests::program::Program;
use tests::topic::Topic;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// Enough for state objects, not for the events below.
const LITTLE_ROOM_BYTES: usize = 96 * 1024;
const DAYS: &str = "--invalid-ratio 0.02 --from 2025-01-01 --to 2025-01-03";

fn url(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

fn instance(topic: &Topic, folder: &Path) -> Program {
    topic.pipeline_c(&url(folder)).args(["--outage-limit", "1s"])
}

fn below(folder: PathBuf) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path())
}

/// What is staged: the names without the unique ends.
fn staged(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = below(folder.join("_staging")).map(|path| path.with_extension("")).collect();
    names.retain(|path| !path.ends_with(".lock"));
    names.sort();
    names
}

/// The data files and their bytes.
fn data_files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let dates = ["events", "events_malformed"].into_iter().flat_map(|table| below(folder.join(table)));
    let mut files: Vec<_> =
        dates.flat_map(below).map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

/// Runs into the lack of room that `limited` has; `error` is the system's.
async fn assert_fails_cleanly(limited: Program, folder: &Path, error: &str) {
    let before = data_files(folder);
    let full = limited.run().await;
    let message = full.failed_with(1);
    assert!(message.contains(error) && message.contains("_staging"), "{message}");
    assert_eq!(full.report()["written"], 0, "{full:#?}");
    assert!(data_files(folder) == before, "something became visible");
    // What one attempt has left is thrown away by the next; the attempts do not pile up.
    let mut left = staged(folder);
    let count = left.len();
    left.dedup();
    assert_eq!(left.len(), count, "{left:?}");
}

#[tokio::test]
async fn a_file_that_may_not_grow_is_a_clear_error_and_leaves_nothing_behind() {
    let topic = Topic::filled(&format!("--count 200 {DAYS}")).await;
    let folder = tempfile::tempdir().unwrap();
    instance(&topic, folder.path()).report().await;
    topic.produce(&format!("--count 6000 {DAYS}")).await;
    let limited = instance(&topic, folder.path()).after("trap '' XFSZ; ulimit -f 24");
    assert_fails_cleanly(limited, folder.path(), "File too large").await;
    instance(&topic, folder.path()).report().await;
    assert_exactly_once(&topic, folder.path()).await;
    assert_eq!(staged(folder.path()), Vec::<PathBuf>::new());
}

/// A small file system of its own, in a name space of its own, so that it needs no rights.
struct SmallDisk {
    folder: PathBuf,
    _mount: Child,
}

impl SmallDisk {
    /// `None` where the system gives no name spaces.
    async fn mount() -> Option<Self> {
        let mount =
            "mount -t tmpfs -o size=2m tmpfs /mnt && mkdir /mnt/lake && echo mounted && exec sleep 600";
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", mount]).stdout(Stdio::piped()).kill_on_drop(true);
        let mut mount = command.spawn().ok()?;
        let mut said = [0; 8];
        mount.stdout.as_mut().unwrap().read_exact(&mut said).await.ok()?;
        // From outside it is seen through the process that lives in it.
        let folder = PathBuf::from(format!("/proc/{}/root/mnt/lake", mount.id()?));
        Some(Self { folder, _mount: mount })
    }

    fn ballast(&self) -> PathBuf {
        self.folder.with_file_name("ballast")
    }

    /// Leaves little room.
    fn fill(&self) {
        let mut room = 0;
        while fs::write(self.ballast(), vec![1; room + LITTLE_ROOM_BYTES]).is_ok() {
            room += LITTLE_ROOM_BYTES;
        }
        fs::write(self.ballast(), vec![1; room]).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_a_clear_error_or_waited_out_and_leaves_nothing_behind() {
    let Some(disk) = SmallDisk::mount().await else {
        eprintln!("not tried: this system lets nobody mount a file system of his own");
        return;
    };
    let topic = Topic::filled(&format!("--count 200 {DAYS}")).await;
    instance(&topic, &disk.folder).report().await;
    let observer = Observer::of(&url(&disk.folder)).await;
    topic.produce(&format!("--count 10000 {DAYS}")).await;
    disk.fill();
    assert_fails_cleanly(instance(&topic, &disk.folder), &disk.folder, "No space left on device").await;

    let mut staying = instance(&topic, &disk.folder).args(["--every", "200ms"]).start();
    let waits = staying.until_it_says("waiting for the lake").await;
    assert!(waits.contains("No space left on device"), "{waits}");
    disk.make_room();
    let mut read = 0;
    while read < 10_000 {
        read += staying.next_report().await["read"].as_u64().unwrap();
    }
    assert_eq!(staying.terminate().await.code, 0);
    assert_eq!(observer.stop().await.rows, 10_200);
    assert_exactly_once(&topic, &disk.folder).await;
    topic.verify(&url(&disk.folder)).await;
    assert_eq!(staged(&disk.folder), Vec::<PathBuf>::new());
}
