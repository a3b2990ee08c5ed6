//! The profile store: Cassandra, or `SQLite` for trying out.

mod cassandra;
mod sqlite;

use futures::stream::BoxStream;

use crate::run::WriteFence;
use crate::schema::{CustomerId, CustomerProfile};
use crate::settings::ProfilesUrl;

/// The profile store failed.
#[derive(Debug, thiserror::Error)]
pub enum ProfilesError {
    /// Settings that cannot work, whatever the store's state.
    #[error("profile store {place}: {reason}")]
    Settings {
        /// The store, without its password.
        place: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The store did not answer, or not in time.
    #[error("cannot {action} in {place}: {reason}; the store may be down, try again later")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// The store, without its password.
        place: String,
        /// What happened.
        reason: String,
    },
    /// The run was paused for longer than its lease lasts: nothing more was written, for another may have begun. Once
    /// the lease is seen to hold still, the same can be written again.
    #[error("the run was paused for longer than its lease lasts, and nothing more is written")]
    TermOver,
    /// A row was not read back as it was written.
    #[error("customer {customer_id} was not read back as it was written: {reason}")]
    ReadBack {
        /// Which row.
        customer_id: CustomerId,
        /// What differs.
        reason: String,
    },
}

/// A profile store that is open. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Profiles {
    store: Store,
}

#[derive(Debug, Clone)]
enum Store {
    Cassandra(std::sync::Arc<cassandra::Cassandra>),
    Sqlite(sqlite::Sqlite),
}

impl Profiles {
    /// Connects. The keyspace or file must exist or be creatable; the table need not.
    pub async fn open(url: &ProfilesUrl) -> Result<Self, ProfilesError> {
        let store = match url {
            ProfilesUrl::Cassandra { nodes, keyspace, credentials, consistency } => Store::Cassandra(
                cassandra::Cassandra::open(
                    url.to_string(),
                    nodes,
                    keyspace,
                    credentials.as_ref(),
                    consistency,
                )
                .await?
                .into(),
            ),
            ProfilesUrl::Sqlite(url) => Store::Sqlite(sqlite::Sqlite::open(url).await?),
        };
        Ok(Self { store })
    }

    /// Makes `customer_profile` if it is missing.
    pub async fn create_table(&self) -> Result<(), ProfilesError> {
        match &self.store {
            Store::Cassandra(store) => store.create_table().await,
            Store::Sqlite(store) => store.create_table().await,
        }
    }

    /// Whether the store answers; for readiness.
    pub async fn ping(&self) -> Result<(), ProfilesError> {
        match &self.store {
            Store::Cassandra(store) => store.ping().await,
            Store::Sqlite(store) => store.ping().await,
        }
    }

    /// One customer's profile, by its key.
    pub async fn get(&self, id: CustomerId) -> Result<Option<CustomerProfile>, ProfilesError> {
        match &self.store {
            Store::Cassandra(store) => store.get(id).await,
            Store::Sqlite(store) => store.get(id).await,
        }
    }

    /// Writes `profiles`, at most `in_flight` at a time, and only within the fence's term. Repeating it changes nothing.
    pub async fn put(
        &self,
        profiles: &[CustomerProfile],
        fence: &WriteFence,
        in_flight: usize,
    ) -> Result<(), ProfilesError> {
        match &self.store {
            Store::Cassandra(store) => store.put(profiles, fence, in_flight).await,
            Store::Sqlite(store) => store.put(profiles, fence).await,
        }
    }

    /// Removes profiles of customers that no longer have one, within the fence's term. Repeating it changes nothing.
    pub async fn delete(&self, ids: &[CustomerId], fence: &WriteFence) -> Result<(), ProfilesError> {
        match &self.store {
            Store::Cassandra(store) => store.delete(ids, fence).await,
            Store::Sqlite(store) => store.delete(ids, fence).await,
        }
    }

    /// The customers that have a profile; none where the table is missing. Reads all keys.
    pub async fn ids(&self) -> Result<Vec<CustomerId>, ProfilesError> {
        match &self.store {
            Store::Cassandra(store) => store.ids().await,
            Store::Sqlite(store) => store.ids().await,
        }
    }

    /// Every profile, in no particular order, as they are read; none where the table is missing.
    pub async fn all(&self) -> Result<BoxStream<'_, Result<CustomerProfile, ProfilesError>>, ProfilesError> {
        match &self.store {
            Store::Cassandra(store) => store.all().await,
            Store::Sqlite(store) => store.all().await,
        }
    }

    /// Reads `written` back and compares; the first difference is an error.
    pub async fn read_back(
        &self,
        written: impl IntoIterator<Item = &CustomerProfile>,
    ) -> Result<(), ProfilesError> {
        match &self.store {
            Store::Cassandra(store) => store.read_back(written, compare).await,
            Store::Sqlite(store) => {
                for expected in written {
                    compare(expected, store.get(expected.customer_id).await?)?;
                }
                Ok(())
            }
        }
    }
}

fn compare(expected: &CustomerProfile, found: Option<CustomerProfile>) -> Result<(), ProfilesError> {
    let customer_id = expected.customer_id;
    match found {
        Some(found) if found == *expected => Ok(()),
        Some(found) => {
            let reason = format!("{} differ", differences(expected, &found));
            Err(ProfilesError::ReadBack { customer_id, reason })
        }
        None => Err(ProfilesError::ReadBack { customer_id, reason: "the row is missing".to_owned() }),
    }
}

/// Names of the columns that differ; their values are customers' data and stay out of logs.
fn differences(left: &CustomerProfile, right: &CustomerProfile) -> String {
    let columns = [
        ("name", left.name == right.name),
        ("email", left.email == right.email),
        ("gender", left.gender == right.gender),
        ("total_spend", left.total_spend == right.total_spend),
        ("total_transactions", left.total_transactions == right.total_transactions),
        ("avg_order_value", left.avg_order_value == right.avg_order_value),
        ("first_purchase", left.first_purchase == right.first_purchase),
        ("last_purchase", left.last_purchase == right.last_purchase),
        ("favorite_category", left.favorite_category == right.favorite_category),
    ];
    columns.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
