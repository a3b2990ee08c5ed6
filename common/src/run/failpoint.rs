//! Where a test ends or stops a program in the middle of a protocol.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

/// A step of a protocol that a test may interrupt: `FAILPOINT=STEP=SIGNAL` sends the process that signal (`KILL`,
/// `STOP`) when it gets here, `FAILPOINT=STEP=SIGNAL@3` the third time. Programs built for release have no failpoints.
pub fn failpoint(step: &str) {
    if cfg!(debug_assertions)
        && let Ok(asked) = std::env::var("FAILPOINT")
        && let Some((name, signal)) = asked.split_once('=')
        && name == step
    {
        let (signal, nth) = signal.split_once('@').unwrap_or((signal, "1"));
        if nth.parse() == Ok(PASSED.fetch_add(1, Ordering::Relaxed) + 1) {
            // A signal that cannot be sent leaves the program running, which the test notices.
            let _ = Command::new("kill").args(["-s", signal, &std::process::id().to_string()]).status();
        }
    }
}

/// How often the step was passed; a process has one failpoint at most.
static PASSED: AtomicU64 = AtomicU64::new(0);
