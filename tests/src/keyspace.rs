//! A keyspace of its own for a test, and what stands in it.

use std::collections::BTreeMap;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::{CqlDecimal, CqlTimestamp};

use crate::expected::Profile;
use crate::{clean_up, services, unique_name};

/// A keyspace; it is dropped at the end.
#[derive(Debug)]
pub struct Keyspace {
    /// Its address, for programs.
    pub url: String,
    name: String,
    session: Session,
}

type Row =
    (i32, String, String, String, CqlDecimal, i32, CqlDecimal, CqlTimestamp, CqlTimestamp, String, i64);

impl Keyspace {
    /// A keyspace without tables.
    pub async fn empty() -> Self {
        Self::replicated("{'class': 'SimpleStrategy', 'replication_factor': 1}").await
    }

    /// A keyspace without tables, replicated as a CQL map says.
    pub async fn replicated(replication: &str) -> Self {
        let (name, session) = (unique_name(), connect().await);
        let create = format!("CREATE KEYSPACE {name} WITH replication = {replication}");
        session.query_unpaged(create, ()).await.unwrap();
        Self { url: format!("cassandra://{}/{name}", services::cassandra()), name, session }
    }

    /// Its address where Cassandra is behind a proxy at `host:port`.
    #[must_use]
    pub fn at(&self, address: &str) -> String {
        format!("cassandra://{address}/{}", self.name)
    }

    /// Every profile, with the time it was written.
    pub async fn written(&self) -> BTreeMap<i32, (Profile, i64)> {
        // Asked for by its columns: a column of another type does not decode.
        let select = format!(
            "SELECT customer_id, name, email, gender, total_spend, total_transactions, avg_order_value, \
             first_purchase, last_purchase, favorite_category, WRITETIME(total_spend) FROM {}.customer_profile",
            self.name
        );
        let rows = self.session.query_unpaged(select, ()).await.unwrap().into_rows_result().unwrap();
        rows.rows::<Row>().unwrap().map(Result::unwrap).map(|row| (row.0, (profile(&row), row.10))).collect()
    }

    /// Every profile.
    pub async fn profiles(&self) -> BTreeMap<i32, Profile> {
        self.written().await.into_iter().map(|(id, (profile, _))| (id, profile)).collect()
    }

    /// Runs a statement about `customer_profile`.
    pub async fn run(&self, cql: &str) {
        let cql = cql.replace("customer_profile", &format!("{}.customer_profile", self.name));
        self.session.query_unpaged(cql, ()).await.unwrap();
    }

    /// Whether anything has made `customer_profile`.
    pub async fn has_table(&self) -> bool {
        let query = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
        let found = self.session.query_unpaged(query, (&self.name,)).await.unwrap();
        found.into_rows_result().unwrap().rows_num() > 0
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        let drop = format!("DROP KEYSPACE IF EXISTS {}", self.name);
        clean_up(|| async move {
            connect().await.query_unpaged(drop, ()).await.unwrap();
        });
    }
}

async fn connect() -> Session {
    // Several tests change the schema at once, which makes the server slow to agree.
    let session = SessionBuilder::new().known_node(services::cassandra()).build().await;
    session.unwrap_or_else(|error| panic!("Cassandra does not answer: {error}"))
}

fn profile(row: &Row) -> Profile {
    let (_, name, email, gender, spend, transactions, average, first, last, category, _) = row;
    Profile {
        name: name.clone(),
        email: email.clone(),
        gender: gender.clone(),
        total_spend: decimal(spend),
        total_transactions: (*transactions).into(),
        avg_order_value: decimal(average),
        first_purchase_ms: first.0,
        last_purchase_ms: last.0,
        favorite_category: category.clone(),
    }
}

/// As text with exactly the stored scale.
fn decimal(value: &CqlDecimal) -> String {
    let (bytes, scale) = value.as_signed_be_bytes_slice_and_exponent();
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let unscaled =
        bytes.iter().fold(if negative { -1_i128 } else { 0 }, |sum, byte| (sum << 8) | i128::from(*byte));
    let scale = usize::try_from(scale).expect("amounts have decimals");
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let (sign, point) = (if negative { "-" } else { "" }, if scale == 0 { "" } else { "." });
    format!("{sign}{whole}{point}{fraction}")
}
