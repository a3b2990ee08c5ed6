//! Reading profiles.

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use scylla::response::PagingState;
use scylla::response::query_result::QueryResult;
use scylla::value::{CqlDecimal, CqlTimestamp};

use super::decimal::decimal;
use super::{Cassandra, Retries};
use crate::profiles::ProfilesError;
use crate::schema::{CustomerId, CustomerProfile};

/// Profiles that are read back side by side.
const READS_IN_FLIGHT: usize = 32;

const READ: &str = "read a profile";

type ProfileRow = (
    i32,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<CqlDecimal>,
    Option<i32>,
    Option<CqlDecimal>,
    Option<CqlTimestamp>,
    Option<CqlTimestamp>,
    Option<String>,
);

impl Cassandra {
    /// One attempt, besides those of the driver: whoever asks is waiting.
    pub(in crate::profiles) async fn get(
        &self,
        id: CustomerId,
    ) -> Result<Option<CustomerProfile>, ProfilesError> {
        let select = self.get.get_or_try_init(|| self.prepare(self.select(), Retries::Driver)).await?;
        let found = self.session.execute_unpaged(select, (id.0,)).await;
        self.row(found.map_err(|error| self.fault(READ, &error))?)
    }

    /// Reads each of `written` and hands it to `compare`, however long the cluster takes within the deadline.
    pub(in crate::profiles) async fn read_back<'p>(
        &self,
        written: impl IntoIterator<Item = &'p CustomerProfile>,
        compare: impl Fn(&CustomerProfile, Option<CustomerProfile>) -> Result<(), ProfilesError>,
    ) -> Result<(), ProfilesError> {
        let select = self.prepare(self.select(), Retries::Ours).await?;
        let (select, compare) = (&select, &compare);
        futures::stream::iter(written)
            .map(Ok)
            .try_for_each_concurrent(READS_IN_FLIGHT, |expected| async move {
                let read = || self.session.execute_unpaged(select, (expected.customer_id.0,));
                let found = self.retried("read a profile back", read).await?;
                compare(expected, self.row(found)?)
            })
            .await
    }

    /// The key of every profile, page by page.
    pub(in crate::profiles) async fn ids(&self) -> Result<Vec<CustomerId>, ProfilesError> {
        let action = "list the profiles";
        if !self.has_table().await? {
            return Ok(Vec::new());
        }
        let query = format!("SELECT customer_id FROM {}.customer_profile", self.keyspace);
        let select = self.prepare(query, Retries::Ours).await?;
        let (mut ids, mut page) = (Vec::new(), PagingState::start());
        loop {
            let read = || self.session.execute_single_page(&select, (), page.clone());
            let (found, next) = self.retried(action, read).await?;
            let found = found.into_rows_result().map_err(|error| self.fault(action, &error))?;
            for row in found.rows::<(i32,)>().map_err(|error| self.fault(action, &error))? {
                ids.push(CustomerId(row.map_err(|error| self.fault(action, &error))?.0));
            }
            match next.into_paging_control_flow() {
                ControlFlow::Continue(next) => page = next,
                ControlFlow::Break(()) => return Ok(ids),
            }
        }
    }

    pub(in crate::profiles) async fn all(
        &self,
    ) -> Result<BoxStream<'_, Result<CustomerProfile, ProfilesError>>, ProfilesError> {
        let fault = |error: &dyn std::error::Error| self.fault("read the profiles", error);
        if !self.has_table().await? {
            return Ok(futures::stream::empty().boxed());
        }
        let pages = self.session.query_iter(self.select_all(), ()).await.map_err(|e| fault(&e))?;
        let rows = pages.rows_stream::<ProfileRow>().map_err(|e| fault(&e))?;
        Ok(rows.map_ok(profile).map_err(move |e| fault(&e)).boxed())
    }

    fn select(&self) -> String {
        format!("{} WHERE customer_id = ?", self.select_all())
    }

    fn select_all(&self) -> String {
        format!(
            "SELECT customer_id, name, email, gender, total_spend, total_transactions, avg_order_value, \
             first_purchase, last_purchase, favorite_category FROM {}.customer_profile",
            self.keyspace
        )
    }

    fn row(&self, found: QueryResult) -> Result<Option<CustomerProfile>, ProfilesError> {
        let rows = found.into_rows_result().map_err(|error| self.fault(READ, &error))?;
        let row = rows.maybe_first_row::<ProfileRow>().map_err(|error| self.fault(READ, &error))?;
        Ok(row.map(profile))
    }
}

fn timestamp(value: Option<CqlTimestamp>) -> DateTime<Utc> {
    value.and_then(|at| DateTime::from_timestamp_millis(at.0)).unwrap_or_default()
}

fn profile(row: ProfileRow) -> CustomerProfile {
    let (id, name, email, gender, spend, count, average, first, last, category) = row;
    CustomerProfile {
        customer_id: CustomerId(id),
        name: name.unwrap_or_default(),
        email: email.unwrap_or_default(),
        gender: gender.unwrap_or_default(),
        total_spend: decimal(spend),
        total_transactions: count.unwrap_or_default(),
        avg_order_value: decimal(average),
        first_purchase: timestamp(first),
        last_purchase: timestamp(last),
        favorite_category: category.unwrap_or_default(),
    }
}
