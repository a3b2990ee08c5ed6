//! Profiles in Cassandra: prepared statements, routed to the replica, bounded in flight, retried.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use rust_decimal::Decimal;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::ExecutionError;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlDecimal, CqlTimestamp};
use tokio::sync::OnceCell;

use super::ProfilesError;
use crate::retry::Backoff;
use crate::run::{WriteFence, failpoint};
use crate::schema::{CustomerId, CustomerProfile};

/// One attempt of one request; the driver's own retries within it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Statements in flight while profiles are removed; there are few.
const DELETES_IN_FLIGHT: usize = 16;

#[derive(Debug)]
pub(super) struct Cassandra {
    session: Session,
    place: String,
    keyspace: String,
    insert: OnceCell<PreparedStatement>,
    select: OnceCell<PreparedStatement>,
    delete: OnceCell<PreparedStatement>,
}

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
    pub(super) async fn open(
        place: String,
        nodes: &[String],
        keyspace: &str,
        credentials: Option<&(String, String)>,
        consistency: &str,
    ) -> Result<Self, ProfilesError> {
        let level = consistency_level(consistency).ok_or_else(|| ProfilesError::Settings {
            place: place.clone(),
            reason: format!("unknown consistency {consistency}; one, two, three, quorum, all, local_quorum, each_quorum, local_one"),
        })?;
        let profile =
            ExecutionProfile::builder().consistency(level).request_timeout(Some(REQUEST_TIMEOUT)).build();
        let mut builder = SessionBuilder::new()
            .known_nodes(nodes)
            .connection_timeout(Duration::from_secs(5))
            .default_execution_profile_handle(profile.into_handle());
        if let Some((user, password)) = credentials {
            builder = builder.user(user, password);
        }
        let session = builder.build().await.map_err(|error| ProfilesError::Unavailable {
            action: "connect",
            place: place.clone(),
            reason: error.to_string(),
        })?;
        let cassandra = Self {
            session,
            place,
            keyspace: keyspace.to_owned(),
            insert: OnceCell::new(),
            select: OnceCell::new(),
            delete: OnceCell::new(),
        };
        cassandra.check_keyspace().await?;
        Ok(cassandra)
    }

    async fn check_keyspace(&self) -> Result<(), ProfilesError> {
        let query = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
        let name = self.keyspace.to_lowercase();
        let found = self
            .session
            .query_unpaged(query, (&name,))
            .await
            .map_err(|e| self.fault("look for the keyspace", &e))?;
        let rows = found.into_rows_result().map_err(|e| self.fault("look for the keyspace", &e))?;
        if rows.rows_num() == 0 {
            let reason = format!(
                "keyspace {name} does not exist; make it first, for one node: CREATE KEYSPACE {name} WITH replication = \
                 {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
            );
            return Err(ProfilesError::Settings { place: self.place.clone(), reason });
        }
        Ok(())
    }

    pub(super) async fn create_table(&self) -> Result<(), ProfilesError> {
        // Asked first: even a CREATE TABLE IF NOT EXISTS that changes nothing costs a schema agreement.
        let query = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'customer_profile'";
        let found = self.session.query_unpaged(query, (self.keyspace.to_lowercase(),)).await;
        let found = found.map_err(|e| self.fault("look for customer_profile", &e))?;
        if found.into_rows_result().is_ok_and(|rows| rows.rows_num() > 0) {
            return Ok(());
        }
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {}.customer_profile (customer_id int PRIMARY KEY, name text, email text, \
             gender text, total_spend decimal, total_transactions int, avg_order_value decimal, \
             first_purchase timestamp, last_purchase timestamp, favorite_category text)",
            self.keyspace
        );
        self.session
            .query_unpaged(create, ())
            .await
            .map(drop)
            .map_err(|e| self.fault("make customer_profile", &e))
    }

    pub(super) async fn ping(&self) -> Result<(), ProfilesError> {
        let query = "SELECT key FROM system.local";
        self.session.query_unpaged(query, ()).await.map(drop).map_err(|e| self.fault("reach the cluster", &e))
    }

    pub(super) async fn get(&self, id: CustomerId) -> Result<Option<CustomerProfile>, ProfilesError> {
        let select = self.select.get_or_try_init(|| {
            self.prepare(format!(
                "SELECT customer_id, name, email, gender, total_spend, total_transactions, avg_order_value, \
                 first_purchase, last_purchase, favorite_category FROM {}.customer_profile WHERE customer_id = ?",
                self.keyspace
            ))
        });
        let select = select.await?;
        let result = self
            .session
            .execute_unpaged(select, (id.0,))
            .await
            .map_err(|e| self.fault("read a profile", &e))?;
        let rows = result.into_rows_result().map_err(|e| self.fault("read a profile", &e))?;
        let row = rows.maybe_first_row::<ProfileRow>().map_err(|e| self.fault("read a profile", &e))?;
        Ok(row.map(profile))
    }

    pub(super) async fn put(
        &self,
        profiles: &[CustomerProfile],
        fence: WriteFence,
        in_flight: usize,
    ) -> Result<(), ProfilesError> {
        let insert = self.insert.get_or_try_init(|| {
            self.prepare(format!(
                "INSERT INTO {}.customer_profile (customer_id, name, email, gender, total_spend, total_transactions, \
                 avg_order_value, first_purchase, last_purchase, favorite_category) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
                self.keyspace
            ))
        });
        let insert = insert.await?;
        futures::stream::iter(profiles.iter().map(Ok))
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
                    fence.0,
                );
                self.retried("write a profile", || self.session.execute_unpaged(insert, &values)).await?;
                failpoint("profile_written");
                Ok(())
            })
            .await
    }

    pub(super) async fn delete(&self, ids: &[CustomerId], fence: WriteFence) -> Result<(), ProfilesError> {
        let delete = self.delete.get_or_try_init(|| {
            self.prepare(format!(
                "DELETE FROM {}.customer_profile USING TIMESTAMP ? WHERE customer_id = ?",
                self.keyspace
            ))
        });
        let delete = delete.await?;
        futures::stream::iter(ids.iter().map(Ok))
            .try_for_each_concurrent(DELETES_IN_FLIGHT, |id| async move {
                let values = (fence.0, id.0);
                self.retried("remove a profile", || self.session.execute_unpaged(delete, values)).await
            })
            .await
    }

    pub(super) async fn ids(&self) -> Result<Vec<CustomerId>, ProfilesError> {
        let query = format!("SELECT customer_id FROM {}.customer_profile", self.keyspace);
        let action = "list the profiles";
        let pages = self.session.query_iter(query, ()).await.map_err(|e| self.fault(action, &e))?;
        let rows = pages.rows_stream::<(i32,)>().map_err(|e| self.fault(action, &e))?;
        rows.map_ok(|(id,)| CustomerId(id)).try_collect().await.map_err(|e| self.fault(action, &e))
    }

    async fn prepare(&self, cql: String) -> Result<PreparedStatement, ProfilesError> {
        let mut statement =
            self.session.prepare(cql).await.map_err(|e| self.fault("prepare a statement", &e))?;
        // Every write carries its own timestamp, so repeating one changes nothing.
        statement.set_is_idempotent(true);
        Ok(statement)
    }

    async fn retried<T, F>(&self, action: &'static str, attempt: impl Fn() -> F) -> Result<(), ProfilesError>
    where
        F: Future<Output = Result<T, ExecutionError>>,
    {
        let mut backoff = Backoff::default();
        loop {
            match attempt().await {
                Ok(_) => return Ok(()),
                Err(error) => match (retryable(&error), backoff.next_wait()) {
                    (true, Some(wait)) => {
                        metrics::counter!("tributary_retries_total", "store" => "cassandra").increment(1);
                        tracing::debug!(%error, action, "trying again");
                        tokio::time::sleep(wait).await;
                    }
                    _ => return Err(self.fault(action, &error)),
                },
            }
        }
    }

    fn fault(&self, action: &'static str, error: &dyn std::error::Error) -> ProfilesError {
        ProfilesError::Unavailable { action, place: self.place.clone(), reason: error.to_string() }
    }
}

/// Everything but a statement that can never work: timeouts, unavailable replicas, overload, lost connections.
fn retryable(error: &ExecutionError) -> bool {
    use scylla::errors::{DbError, RequestAttemptError};
    match error {
        ExecutionError::BadQuery(_) => false,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _)) => !matches!(
            error,
            DbError::SyntaxError | DbError::Invalid | DbError::Unauthorized | DbError::AuthenticationError
        ),
        _ => true,
    }
}

fn consistency_level(name: &str) -> Option<Consistency> {
    Some(match name {
        "one" => Consistency::One,
        "two" => Consistency::Two,
        "three" => Consistency::Three,
        "quorum" => Consistency::Quorum,
        "all" => Consistency::All,
        "local_quorum" => Consistency::LocalQuorum,
        "each_quorum" => Consistency::EachQuorum,
        "local_one" => Consistency::LocalOne,
        _ => return None,
    })
}

fn cql_decimal(value: Decimal) -> CqlDecimal {
    let bytes = value.mantissa().to_be_bytes();
    CqlDecimal::from_signed_be_bytes_slice_and_exponent(
        shortest(&bytes),
        i32::try_from(value.scale()).unwrap_or(0),
    )
}

/// Two's complement without the leading bytes that only repeat the sign.
fn shortest(bytes: &[u8]) -> &[u8] {
    let redundant = bytes
        .windows(2)
        .take_while(|pair| (pair[0] == 0 && pair[1] < 0x80) || (pair[0] == 0xff && pair[1] >= 0x80))
        .count();
    &bytes[redundant..]
}

fn decimal(value: Option<CqlDecimal>) -> Decimal {
    let Some(value) = value else { return Decimal::ZERO };
    let (bytes, scale) = value.as_signed_be_bytes_slice_and_exponent();
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let seed = if negative { -1_i128 } else { 0 };
    let mantissa = bytes.iter().fold(seed, |sum, byte| (sum << 8) | i128::from(*byte));
    Decimal::try_from_i128_with_scale(mantissa, scale.try_into().unwrap_or(0)).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_decimal_survives_cassandras_form(mantissa in any::<i64>(), scale in 0u32..20) {
            let value = Decimal::new(mantissa, scale);
            prop_assert_eq!(decimal(Some(cql_decimal(value))), value);
        }
    }

    #[test]
    fn a_decimal_takes_the_fewest_bytes() {
        for (mantissa, expected) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0, 0x80]),
            (-1, vec![0xff]),
            (-129, vec![0xff, 0x7f]),
        ] {
            let cql = cql_decimal(Decimal::new(mantissa, 2));
            assert_eq!(cql.as_signed_be_bytes_slice_and_exponent(), (expected.as_slice(), 2));
        }
    }
}
