//! How a program ends.

use std::process::ExitCode;

/// The exit codes that schedulers and scripts may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, nothing to do included.
    Done = 0,
    /// Failed; safe to run again.
    Failed = 1,
    /// Bad arguments or settings; running again will not help.
    Usage = 2,
    /// A quality gate refused the batch: nothing of it is committed.
    Refused = 3,
    /// Another run of the same job holds its lock.
    Locked = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What a job's error says about the end of the program.
pub trait JobError: std::error::Error + Send + Sync + 'static {
    /// The exit code of a program that ends with this error.
    fn exit(&self) -> Exit;

    /// Whether a signal, not a fault, ended the run.
    fn interrupted(&self) -> bool {
        false
    }
}
