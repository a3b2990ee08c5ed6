//! SIGTERM and SIGINT.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Whether the program was asked to stop. Clones share the answer.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// A shutdown that only [`Shutdown::request`] starts.
    #[must_use]
    pub fn manual() -> Self {
        Self::default()
    }

    /// A shutdown that SIGTERM or SIGINT starts. Call within a Tokio runtime.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::default();
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let requested = shutdown.clone();
        tokio::spawn(async move {
            let name = tokio::select! { _ = term.recv() => "SIGTERM", _ = int.recv() => "SIGINT" };
            tracing::info!(signal = name, "stopping");
            requested.request();
        });
        Ok(shutdown)
    }

    /// Asks everyone who holds a clone to stop.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Whether the program was asked to stop.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until the program is asked to stop.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// Runs `work` to its end, or drops it when the program is asked to stop first.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! { biased; () = self.wait() => None, done = work => Some(done) }
    }
}
