//! Profiles in Cassandra.

mod consistency;
mod decimal;
mod faults;
mod pace;
mod read;
mod write;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::cluster::metadata::Strategy;
use scylla::errors::ExecutionError;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::prepared::PreparedStatement;
use tokio::sync::OnceCell;

use self::faults::{Failure, retryable};
use super::ProfilesError;
use crate::retry::Backoff;
use crate::run::Stopwatch;

/// One attempt of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// All attempts of one request of a job.
const DEADLINE: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Cassandra {
    session: Session,
    place: String,
    keyspace: String,
    /// The statement of `Cassandra::get`, for programs that read one profile after the other.
    get: OnceCell<PreparedStatement>,
}

/// Who repeats a statement.
#[derive(Debug, Clone, Copy)]
enum Retries {
    /// The driver, at once, on the next replica.
    Driver,
    /// [`Cassandra::retried`], with backoff; the driver's own attempts would multiply its.
    Ours,
}

impl Cassandra {
    pub(super) async fn open(
        place: String,
        nodes: &[String],
        keyspace: &str,
        credentials: Option<&(String, String)>,
        consistency: &str,
    ) -> Result<Self, ProfilesError> {
        let level = consistency::level(consistency)
            .map_err(|reason| ProfilesError::Settings { place: place.clone(), reason })?;
        let profile =
            ExecutionProfile::builder().consistency(level).request_timeout(Some(REQUEST_TIMEOUT)).build();
        let mut profile = profile.into_handle();
        let mut builder = SessionBuilder::new()
            .known_nodes(nodes)
            .keyspaces_to_fetch([keyspace.to_lowercase()])
            .connection_timeout(Duration::from_secs(5))
            .default_execution_profile_handle(profile.clone());
        if let Some((user, password)) = credentials {
            builder = builder.user(user, password);
        }
        let session = builder.build().await.map_err(|error| ProfilesError::Unavailable {
            action: "connect",
            place: place.clone(),
            reason: error.to_string(),
        })?;
        let cassandra = Self { session, place, keyspace: keyspace.to_lowercase(), get: OnceCell::new() };
        let local = cassandra.local_datacenter(nodes).await;
        let strategy = cassandra.check_keyspace(consistency, local.as_deref())?;
        if let (Some(local), Strategy::NetworkTopologyStrategy { .. }) = (local, strategy) {
            // What is local to a request is told by the node that takes it.
            let near = DefaultPolicy::builder().prefer_datacenter(local).build();
            let near = profile.pointee_to_builder().load_balancing_policy(near).build();
            profile.map_to_another_profile(near);
        }
        Ok(cassandra)
    }

    /// The data centre of the hosts that the address names.
    async fn local_datacenter(&self, nodes: &[String]) -> Option<String> {
        let lookups = futures::future::join_all(nodes.iter().map(tokio::net::lookup_host)).await;
        let named: HashSet<IpAddr> =
            lookups.into_iter().flatten().flatten().map(|found| found.ip()).collect();
        let state = self.session.get_cluster_state();
        let nodes = state.get_nodes_info();
        nodes.iter().find(|node| named.contains(&node.address.ip())).and_then(|node| node.datacenter.clone())
    }

    /// How the keyspace is replicated; refuses one that is not there, or that cannot satisfy the consistency level.
    fn check_keyspace(&self, consistency: &str, local: Option<&str>) -> Result<Strategy, ProfilesError> {
        let (name, state) = (&self.keyspace, self.session.get_cluster_state());
        let checked = match state.get_keyspace(name) {
            Some(keyspace) => consistency::check(consistency, name, &keyspace.strategy, local)
                .map(|()| keyspace.strategy.clone()),
            None => Err(format!(
                "keyspace {name} does not exist; make it first, for one node: CREATE KEYSPACE {name} WITH replication = \
                 {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
            )),
        };
        checked.map_err(|reason| ProfilesError::Settings { place: self.place.clone(), reason })
    }

    pub(super) async fn create_table(&self) -> Result<(), ProfilesError> {
        // Asked first: even a CREATE TABLE IF NOT EXISTS that changes nothing costs a schema agreement.
        if self.has_table().await? {
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

    async fn has_table(&self) -> Result<bool, ProfilesError> {
        let query = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'customer_profile'";
        let found = self.session.query_unpaged(query, (&self.keyspace,)).await;
        let found = found.map_err(|e| self.fault("look for customer_profile", &e))?;
        Ok(found.into_rows_result().is_ok_and(|rows| rows.rows_num() > 0))
    }

    pub(super) async fn ping(&self) -> Result<(), ProfilesError> {
        let query = "SELECT key FROM system.local";
        self.session.query_unpaged(query, ()).await.map(drop).map_err(|e| self.fault("reach the cluster", &e))
    }

    async fn prepare(&self, cql: String, retries: Retries) -> Result<PreparedStatement, ProfilesError> {
        let action = "prepare a statement";
        let prepared = match retries {
            Retries::Driver => self.session.prepare(cql).await.map_err(|error| self.fault(action, &error)),
            Retries::Ours => {
                let prepare =
                    || async { self.session.prepare(cql.as_str()).await.map_err(ExecutionError::from) };
                self.retried(action, prepare).await
            }
        };
        let mut statement = prepared?;
        // Every write carries its own timestamp, so repeating one changes nothing.
        statement.set_is_idempotent(true);
        if matches!(retries, Retries::Ours) {
            statement.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy)));
        }
        Ok(statement)
    }

    /// Repeats `attempt` with backoff and jitter until it succeeds, cannot succeed, or the deadline is over.
    async fn retried<T, F, E>(
        &self,
        action: &'static str,
        attempt: impl Fn() -> F,
    ) -> Result<T, ProfilesError>
    where
        F: Future<Output = Result<T, E>>,
        E: Into<Failure>,
    {
        let (mut backoff, watch) = (Backoff::default(), Stopwatch::start());
        loop {
            let error = match attempt().await.map_err(Into::into) {
                Ok(done) => return Ok(done),
                Err(Failure::TermOver) => return Err(ProfilesError::TermOver),
                Err(Failure::Execution(error)) => error,
            };
            match backoff.next_wait() {
                Some(wait) if retryable(&error) && watch.elapsed() + wait < DEADLINE => {
                    metrics::counter!("tributary_retries_total", "store" => "cassandra").increment(1);
                    tracing::debug!(%error, action, "trying again");
                    tokio::time::sleep(wait).await;
                }
                _ => return Err(self.fault(action, &error)),
            }
        }
    }

    fn fault(&self, action: &'static str, error: &dyn std::error::Error) -> ProfilesError {
        ProfilesError::Unavailable { action, place: self.place.clone(), reason: error.to_string() }
    }
}
