//! Drives the real binaries.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::shop::until;

/// No run of a test takes longer; one that does hangs.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Within this a program has to end after SIGTERM.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// A program to start.
#[derive(Debug)]
pub struct Program {
    name: String,
    command: Command,
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; -1 for one that a signal killed.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A program that is running; it is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// The binary `name` that cargo has built.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let path = binary(name);
        assert!(path.is_file(), "{} is missing: run ./tests/run", path.display());
        let mut command = Command::new(path);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Self { name: name.to_owned(), command }
    }

    /// Pipeline A from `source` to `profiles`; it reports as JSON.
    #[must_use]
    pub fn pipeline_a(source: &str, profiles: &str) -> Self {
        Self::new("pipeline-a").args(["--source", source, "--profiles", profiles, "--output", "json"])
    }

    /// Pipeline B from `source` to `lake`; it reports as JSON.
    #[must_use]
    pub fn pipeline_b(source: &str, lake: &str) -> Self {
        Self::new("pipeline-b").args(["--source", source, "--lake", lake, "--output", "json"])
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, variable: &str, value: &str) -> Self {
        self.command.env(variable, value);
        self
    }

    /// Starts it from a shell that does `first`, as limits need it.
    #[must_use]
    pub fn after(mut self, first: &str) -> Self {
        let program = std::mem::replace(&mut self.command, Command::new("bash"));
        let program = program.as_std();
        self.command.args(["-c", &format!("{first}; exec \"$0\" \"$@\"")]);
        self.command.arg(program.get_program()).args(program.get_args());
        for (variable, value) in program.get_envs() {
            self.command.env(variable, value.expect("variables are only set"));
        }
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        self
    }

    /// Starts it with an empty environment.
    #[must_use]
    pub fn without_env(mut self) -> Self {
        self.command.env_clear();
        self
    }

    /// Runs it to its end.
    pub async fn run(mut self) -> Finished {
        let ended = timeout(TIMEOUT, self.command.output()).await;
        let output = ended.unwrap_or_else(|_| panic!("{} is still running after {TIMEOUT:?}", self.name));
        Finished::from(output.unwrap())
    }

    /// Runs it to its end, which has to be exit code 0, and returns its one report.
    pub async fn report(self) -> Value {
        let finished = self.run().await;
        assert_eq!(finished.code, 0, "{finished:#?}");
        finished.report()
    }

    /// Starts it and returns at once.
    #[must_use]
    pub fn start(mut self) -> Running {
        let mut child = self.command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { name: self.name, child, lines }
    }
}

impl Finished {
    /// The only report on standard output.
    #[must_use]
    pub fn report(&self) -> Value {
        let lines: Vec<&str> = self.stdout.lines().collect();
        assert_eq!(lines.len(), 1, "a run prints one line: {self:#?}");
        serde_json::from_str(lines[0]).unwrap()
    }

    /// Asserts the exit code and returns what the program said on standard error.
    #[allow(clippy::must_use_candidate)] // the exit code may be all that a test asks for
    pub fn failed_with(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{self:#?}");
        &self.stderr
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Running {
    /// Waits for the next line on standard output.
    pub async fn next_line(&mut self) -> String {
        let line = timeout(TIMEOUT, self.lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{} says nothing for {TIMEOUT:?}", self.name));
        line.unwrap().expect("the program goes on")
    }

    /// Waits for the next report.
    pub async fn next_report(&mut self) -> Value {
        serde_json::from_str(&self.next_line().await).unwrap()
    }

    /// Waits until it has said a line with `part` on standard error; returns all that it said until then.
    pub async fn until_it_says(&mut self, part: &str) -> String {
        let stderr = self.child.stderr.as_mut().unwrap();
        let mut said = Vec::new();
        let read = async {
            loop {
                let text = String::from_utf8_lossy(&said);
                if text.split_once(part).is_some_and(|(_, rest)| rest.contains('\n')) {
                    return text.into_owned();
                }
                drop(text);
                assert_ne!(stderr.read_buf(&mut said).await.unwrap(), 0, "it ended");
            }
        };
        let said = timeout(TIMEOUT, read).await;
        said.unwrap_or_else(|_| panic!("{} does not say {part:?} for {TIMEOUT:?}", self.name))
    }

    /// Sends SIGTERM and waits for the end, which has to come within the 10 s of the contract.
    pub async fn terminate(self) -> Finished {
        self.end_by("TERM").await
    }

    /// Sends SIGINT, as Ctrl-C does, and waits for the end, which has to come within the 10 s of the contract.
    pub async fn interrupt(self) -> Finished {
        self.end_by("INT").await
    }

    /// Sends SIGTERM to one that has stopped itself, lets it go on, and waits for the end as [`Running::terminate`].
    pub async fn terminate_as_it_wakes(self) -> Finished {
        self.send("TERM").await;
        self.go_on().await
    }

    /// Kills it where it stands.
    pub async fn kill(self) -> Finished {
        self.end_by("KILL").await
    }

    /// Stops it in the middle of whatever it does, until [`Running::go_on`].
    pub async fn pause(&self) {
        self.send("STOP").await;
    }

    /// Waits until it has stopped itself, as `FAILPOINT=step=STOP` tells it to.
    pub async fn until_stopped(&self) {
        let pid = self.child.id().expect("it has not ended");
        let stopped = async || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The state comes behind the name, which is in brackets.
            let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
            assert!(
                !matches!(state.flatten(), Some('Z') | None),
                "{} never came to its failpoint",
                self.name
            );
            state.flatten() == Some('T')
        };
        until(stopped, "it never came to its failpoint").await;
    }

    /// Sends SIGHUP, which programs take as a request to read their files again.
    pub async fn hang_up(&self) {
        self.send("HUP").await;
    }

    /// The most memory that it has had so far, in MiB.
    #[must_use]
    pub fn peak_mib(&self) -> u64 {
        let pid = self.child.id().expect("it has not ended");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Lets it go on and returns at once.
    pub async fn wake(&self) {
        self.send("CONT").await;
    }

    /// Waits for its end.
    pub async fn wait(self) -> Finished {
        self.wait_for(TIMEOUT).await
    }

    /// Waits for an end that may take so long.
    pub async fn wait_for(self, limit: Duration) -> Finished {
        self.ended_within(limit, "going on").await
    }

    /// Lets it go on and waits for its end.
    pub async fn go_on(self) -> Finished {
        self.end_by("CONT").await
    }

    async fn send(&self, signal: &str) {
        // One that has ended already is an exit code that the test looks at.
        if let Some(pid) = self.child.id() {
            let sent = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().await;
            assert!(sent.unwrap().success());
        }
    }

    async fn end_by(self, signal: &str) -> Finished {
        self.send(signal).await;
        self.ended_within(SHUTDOWN, &format!("SIG{signal}")).await
    }

    async fn ended_within(mut self, limit: Duration, after: &str) -> Finished {
        let (mut stdout, mut stderr, mut errors) =
            (String::new(), Vec::new(), self.child.stderr.take().unwrap());
        // Read meanwhile, since a program whose pipe is full waits.
        let read_lines = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                stdout.push_str(&line);
                stdout.push('\n');
            }
        };
        let end = async { tokio::join!(self.child.wait(), read_lines, errors.read_to_end(&mut stderr)).0 };
        let ended = timeout(limit, end).await;
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        let status = ended
            .unwrap_or_else(|_| panic!("{} is still running {limit:?} after {after}: {stderr}", self.name));
        Finished { code: status.unwrap().code().unwrap_or(-1), stdout, stderr }
    }
}

/// Beside the folder of the test's own executable.
fn binary(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join(name)
}
