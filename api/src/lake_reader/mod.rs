//! Summaries and events out of the lake's own files.
//!
//! What is read is as little as the files allow: the dates asked for (folders), the row groups and pages that may
//! hold the customer (statistics), the customer's rows (filter). Files never change under their version, so their
//! footers, bytes and rows are cached by it; what there is to read is listed again every few seconds.

mod blocks;
mod cache;
mod events;
mod large_day;
mod listing;
mod open_files;
mod rows;
mod summaries;

pub use events::{Event, EventQuery, MAX_EVENTS, Order};
pub use summaries::{Page, Summary, SummaryPages};

use std::future::Future;

use common::lake::{Lake, LakeError};
use common::run::Stopwatch;
use tokio::sync::Semaphore;

use self::cache::Cache;
use self::events::EventsKey;
use self::listing::{FileRef, Freshness, Listings};
use self::open_files::OpenFiles;

/// Files that are read at the same time by all requests together; each takes up to a row group of memory.
const READS_AT_ONCE: usize = 32;

/// Reads of a request before it gives up because files keep being replaced under it.
const ATTEMPTS: usize = 4;

// What the caches hold at most: together with the rest of the process well below 200 MB.
const FOOTERS_BYTES: u64 = 16 << 20;
const BLOCKS_BYTES: u64 = 64 << 20;
const EVENTS_BYTES: u64 = 24 << 20;
const SUMMARIES_BYTES: u64 = 16 << 20;

/// Answers questions from the lake. One a process; requests share its caches.
pub struct LakeReader {
    lake: Lake,
    listings: Listings,
    files: OpenFiles,
    reads: Semaphore,
    /// A customer's events in one file, at most [`MAX_EVENTS`], in one order.
    events: Cache<EventsKey, std::sync::Arc<[Event]>>,
    /// All rows of a small summary file, by customer.
    summaries: Cache<FileRef, std::sync::Arc<[Summary]>>,
}

impl LakeReader {
    /// Reads from `lake`.
    pub fn new(lake: Lake) -> Self {
        Self {
            listings: Listings::new(lake.clone()),
            files: OpenFiles::new(lake.clone(), FOOTERS_BYTES, BLOCKS_BYTES),
            reads: Semaphore::new(READS_AT_ONCE),
            events: cache::bounded(EVENTS_BYTES),
            summaries: cache::bounded(SUMMARIES_BYTES),
            lake,
        }
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), LakeError> {
        self.lake.ping().await
    }

    /// Reads again, from a new listing, when a file was replaced in the middle.
    async fn settled<T, F>(&self, read: impl Fn(Freshness) -> F) -> Result<T, LakeError>
    where
        F: Future<Output = Result<T, LakeError>>,
    {
        let mut freshness = Freshness::Recent;
        for _ in 1..ATTEMPTS {
            match read(freshness).await {
                Err(LakeError::Changed(path)) => {
                    tracing::debug!(path, "replaced while it was read; reading again");
                    metrics::counter!("tributary_api_replaced_reads_total").increment(1);
                    freshness = Freshness::Since(Stopwatch::start());
                }
                settled => return settled,
            }
        }
        read(freshness).await
    }
}
