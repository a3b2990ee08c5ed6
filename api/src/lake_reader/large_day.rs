//! A day of many rows, read while it is sent: a new version of its file may take the old one's place in between.

use std::sync::Arc;

use chrono::NaiveDate;
use common::lake::LakeError;
use common::run::Stopwatch;
use common::schema::CustomerId;
use futures::{StreamExt, TryStreamExt, stream};

use super::listing::Freshness;
use super::open_files::OpenFile;
use super::summaries::{self, Page, SummaryPage, SummaryPages};
use super::{ATTEMPTS, LakeReader};

/// A day that is being sent.
struct Day {
    reader: Arc<LakeReader>,
    date: NaiveDate,
    asked: Page,
    /// What comes of the version that is read now.
    pages: SummaryPages,
    /// The last customer that was sent. A version's rows come by customer, so this is the place to go on from.
    sent: Option<CustomerId>,
    /// Rows still to send; all when `None`.
    left: Option<usize>,
    /// Versions that may still be tried.
    attempts: usize,
}

/// The rows of `file`; should it be replaced, the new version's rows behind the last customer sent.
pub fn pages(
    reader: Arc<LakeReader>,
    date: NaiveDate,
    file: OpenFile,
    asked: Page,
) -> Result<SummaryPages, LakeError> {
    let pages = summaries::pages(file, asked)?;
    let day = Day { reader, date, asked, pages, sent: None, left: asked.limit, attempts: ATTEMPTS };
    Ok(stream::try_unfold(day, Day::next).boxed())
}

impl Day {
    async fn next(mut self) -> Result<Option<(SummaryPage, Self)>, LakeError> {
        while self.left != Some(0) {
            match self.pages.try_next().await {
                Ok(None) => return Ok(None),
                Ok(Some(page)) => {
                    if let Some(page) = self.unsent(page) {
                        return Ok(Some((page, self)));
                    }
                }
                Err(LakeError::Changed(path)) if self.attempts > 1 => {
                    tracing::debug!(path, "replaced while it was sent; going on with the new version");
                    metrics::counter!("tributary_api_replaced_reads_total").increment(1);
                    self.attempts -= 1;
                    self.read_again(path).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Opens the version that is there now.
    async fn read_again(&mut self, path: String) -> Result<(), LakeError> {
        let now = Freshness::Since(Stopwatch::start());
        let file = self.reader.summary_file(self.date, now).await?.ok_or(LakeError::Changed(path))?;
        let open = self.reader.files.open(&file, &summaries::COLUMNS).await?;
        let page = if self.sent.is_none() { self.asked } else { Page { offset: 0, limit: None } };
        self.pages = summaries::pages(open, page)?;
        Ok(())
    }

    /// The rows of `page` that are still to be sent; `None` when there are none.
    fn unsent(&mut self, mut page: SummaryPage) -> Option<SummaryPage> {
        let start = page.rows.partition_point(|row| Some(row.customer) <= self.sent);
        let end = self.left.map_or(page.rows.len(), |left| page.rows.len().min(start.saturating_add(left)));
        page.range = start..end;
        self.sent = Some(page.rows().last()?.customer);
        self.left = self.left.map(|left| left - page.rows().len());
        Some(page)
    }
}
