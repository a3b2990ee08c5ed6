//! The profile store, which may come up after the API and go away under it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::profiles::Profiles;
use common::retry::Backoff;
use common::schema::{CustomerId, CustomerProfile};
use common::settings::ProfilesUrl;
use tokio::task::JoinHandle;

use crate::error::ApiError;

/// A point read takes milliseconds; this long means that no node answers.
const READ_DEADLINE: Duration = Duration::from_secs(3);

/// Profiles by key, once the store could be reached.
pub struct ProfileStore {
    place: String,
    open: Arc<OnceLock<Profiles>>,
    connecting: JoinHandle<()>,
}

impl ProfileStore {
    /// Returns at once and connects in the background, as often as it takes. Call within a Tokio runtime.
    pub fn connect(url: ProfilesUrl) -> Self {
        let open = Arc::new(OnceLock::new());
        Self { place: url.to_string(), connecting: tokio::spawn(connect(url, Arc::clone(&open))), open }
    }

    /// One customer's profile.
    pub async fn get(&self, id: CustomerId) -> Result<Option<CustomerProfile>, ApiError> {
        let profiles = self.opened()?;
        match tokio::time::timeout(READ_DEADLINE, profiles.get(id)).await {
            Ok(read) => Ok(read?),
            Err(_) => Err(self.silent("read a profile")),
        }
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), ApiError> {
        let profiles = self.opened()?;
        match tokio::time::timeout(READ_DEADLINE, profiles.ping()).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(self.silent("reach the store")),
        }
    }

    fn opened(&self) -> Result<&Profiles, ApiError> {
        self.open.get().ok_or_else(|| ApiError::Unavailable(format!("not connected to {} yet", self.place)))
    }

    fn silent(&self, action: &str) -> ApiError {
        ApiError::Unavailable(format!(
            "cannot {action} in {}: no answer within {READ_DEADLINE:?}",
            self.place
        ))
    }
}

impl Drop for ProfileStore {
    fn drop(&mut self) {
        self.connecting.abort();
    }
}

/// Tries until it succeeds; each new reason is logged once.
async fn connect(url: ProfilesUrl, open: Arc<OnceLock<Profiles>>) {
    let mut waits = Backoff::new(Duration::from_millis(200), Duration::from_secs(5), Duration::MAX);
    let mut last_reason = String::new();
    loop {
        match Profiles::open(&url).await {
            Ok(profiles) => {
                tracing::info!(profiles = %url, "connected");
                let _ = open.set(profiles); // only this task sets it
                return;
            }
            Err(error) => {
                let reason = error.to_string();
                if reason != last_reason {
                    tracing::warn!("{reason}; profiles are answered with 503 until it can be reached");
                    last_reason = reason;
                }
            }
        }
        tokio::time::sleep(waits.next_wait().unwrap_or(Duration::from_secs(5))).await;
    }
}
