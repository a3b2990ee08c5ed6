//! A Kafka broker of its own for a test that stops and starts it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

/// A broker; it is stopped at the end.
#[derive(Debug)]
pub struct OwnBroker {
    /// Its `host:port`.
    pub address: String,
    folder: TempDir,
}

/// The script that starts the services of all tests.
fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("services")
}

fn command(folder: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(script());
    command.args(arguments).env("SERVICES_DATA", folder).env("SERVICES_ONLY", "kafka");
    // A port of its own, not that of the other tests' broker.
    for name in ["MYSQL_PORT", "KAFKA_PORT", "CASSANDRA_PORT", "REGISTRY_PORT", "S3_PORT"] {
        command.env_remove(name);
    }
    command
}

impl OwnBroker {
    /// Starts it, which takes some seconds.
    pub async fn start() -> Self {
        let mut broker = Self { address: String::new(), folder: TempDir::new().unwrap() };
        broker.services(&["start"]).await;
        let said = broker.services(&["env"]).await;
        let address = said.lines().find_map(|line| line.strip_prefix("export TEST_KAFKA_BROKERS="));
        address.unwrap().clone_into(&mut broker.address);
        broker
    }

    /// Runs `tests/services` for it.
    pub async fn services(&self, arguments: &[&str]) -> String {
        let mut command = Command::from(command(self.folder.path(), arguments));
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().await.unwrap();
        assert!(output.status.success(), "tests/services {arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        if !command(self.folder.path(), &["stop"]).status().is_ok_and(|status| status.success()) {
            eprintln!("a test's broker was not stopped");
        }
    }
}
