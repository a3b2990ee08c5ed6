//! Writing profiles: prepared, routed to a replica, as many at a time as the cluster bears, repeated until they stand.

use futures::{StreamExt, TryStreamExt};
use scylla::errors::ExecutionError;
use scylla::value::CqlTimestamp;

use super::decimal::cql_decimal;
use super::faults::{Failure, overloaded};
use super::pace::Gate;
use super::{Cassandra, Retries};
use crate::profiles::ProfilesError;
use crate::run::{WriteFence, failpoint};
use crate::schema::{CustomerId, CustomerProfile};

/// Statements in flight while profiles are removed; there are few.
const DELETES_IN_FLIGHT: usize = 16;

impl Cassandra {
    pub(in crate::profiles) async fn put(
        &self,
        profiles: &[CustomerProfile],
        fence: &WriteFence,
        in_flight: usize,
    ) -> Result<(), ProfilesError> {
        let insert = format!(
            "INSERT INTO {}.customer_profile (customer_id, name, email, gender, total_spend, total_transactions, \
             avg_order_value, first_purchase, last_purchase, favorite_category) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
            self.keyspace
        );
        let insert = &self.prepare(insert, Retries::Ours).await?;
        let gate = &Gate::new(in_flight);
        futures::stream::iter(profiles)
            .map(Ok)
            .try_for_each_concurrent(in_flight, |p| async move {
                let values = (
                    p.customer_id.0,
                    p.name.as_str(),
                    p.email.as_str(),
                    p.gender.as_str(),
                    cql_decimal(p.total_spend),
                    p.total_transactions,
                    cql_decimal(p.avg_order_value),
                    CqlTimestamp(p.first_purchase.timestamp_millis()),
                    CqlTimestamp(p.last_purchase.timestamp_millis()),
                    p.favorite_category.as_str(),
                    fence.number(),
                );
                let write =
                    || gate.through(within(fence, self.session.execute_unpaged(insert, &values)), overloaded);
                self.retried("write a profile", write).await?;
                failpoint("profile_written");
                Ok(())
            })
            .await
    }

    pub(in crate::profiles) async fn delete(
        &self,
        ids: &[CustomerId],
        fence: &WriteFence,
    ) -> Result<(), ProfilesError> {
        if ids.is_empty() {
            return Ok(());
        }
        let delete =
            format!("DELETE FROM {}.customer_profile USING TIMESTAMP ? WHERE customer_id = ?", self.keyspace);
        let delete = &self.prepare(delete, Retries::Ours).await?;
        let gate = &Gate::new(DELETES_IN_FLIGHT);
        futures::stream::iter(ids)
            .map(Ok)
            .try_for_each_concurrent(DELETES_IN_FLIGHT, |id| async move {
                let values = (fence.number(), id.0);
                let remove =
                    || gate.through(within(fence, self.session.execute_unpaged(delete, values)), overloaded);
                self.retried("remove a profile", remove).await.map(drop)
            })
            .await
    }
}

/// Sends a write, unless another run may have begun while this one waited for its place.
async fn within<T>(
    fence: &WriteFence,
    write: impl Future<Output = Result<T, ExecutionError>>,
) -> Result<T, Failure> {
    if fence.is_over() { Err(Failure::TermOver) } else { Ok(write.await?) }
}
