//! A reader outside, who looks at pipeline C's outputs all the time.

use std::process::Stdio;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::services;

const SCRIPT: &str = include_str!("observe_events.py");

/// A process that lists and reads a lake again and again; it is killed when this is dropped.
#[derive(Debug)]
pub struct Observer {
    process: Child,
}

/// What an observer has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Seen {
    /// How often it listed everything.
    pub looks: u64,
    /// Files that were new or replaced.
    pub changes: u64,
    /// How often it read a file again, because it was replaced in the middle.
    pub read_again: u64,
    /// Rows in both outputs at the last look.
    pub rows: u64,
}

impl Observer {
    /// Starts to look at the lake at `url`.
    pub async fn of(url: &str) -> Self {
        let mut command = Command::new(services::python());
        command.args(["-c", SCRIPT, url]).kill_on_drop(true);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let stdout = process.stdout.as_mut().unwrap();
        // One line, and nothing more until the end.
        BufReader::new(stdout).read_line(&mut line).await.unwrap();
        assert_eq!(line, "looking\n", "the observer does not look");
        Self { process }
    }

    /// Has a last look. Fails if the observer ever saw a row twice, or one gone.
    pub async fn stop(self) -> Seen {
        self.try_stop().await.unwrap_or_else(|said| panic!("{said}"))
    }

    /// The same; what it saw that should not be is an error.
    pub async fn try_stop(mut self) -> Result<Seen, String> {
        drop(self.process.stdin.take());
        let output = self.process.wait_with_output().await.unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    }
}
