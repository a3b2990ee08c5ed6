//! What stands in the lake before partitions are claimed.

use std::time::Duration;

use common::lake::{EVENTS, EVENTS_MALFORMED, Lake, STATE, Upload};
use futures::future::try_join_all;
use tokio::sync::OnceCell;

use crate::error::Error;
use crate::inventory::Files;
use crate::ledger::patiently;
use crate::place::Place;

/// What was listed before claims of a topic's partitions.
#[derive(Debug)]
pub struct Standing {
    lake: Lake,
    topic: String,
    patience: Duration,
    /// Uploads of any partition that were begun and not completed. They must be listed before the claim: what is
    /// staged later may be another, later owner's.
    pub uploads: Vec<Upload>,
    files: OnceCell<Files>,
}

impl Standing {
    /// Lists the unfinished uploads.
    pub async fn list(lake: &Lake, topic: &str, patience: Duration) -> Result<Self, Error> {
        // In a directory a state object is staged, too.
        let folders = [EVENTS, EVENTS_MALFORMED, STATE];
        let list = async || try_join_all(folders.map(|folder| lake.uploads(folder))).await;
        let uploads = patiently(patience, list).await?.concat();
        let (lake, topic) = (lake.clone(), topic.to_owned());
        Ok(Self { lake, topic, patience, uploads, files: OnceCell::new() })
    }

    /// How many files the partition has, and the first of them by offset. The lake is listed once for all partitions,
    /// and only when this is asked.
    pub async fn files_of(&self, place: &Place) -> Result<Option<(usize, String)>, Error> {
        let list = async || Files::list(&self.lake, &self.topic).await;
        let files = self.files.get_or_try_init(|| patiently(self.patience, list)).await?;
        Ok(files.of(place))
    }
}
