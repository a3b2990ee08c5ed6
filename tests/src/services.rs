//! Where the services are; `tests/services` starts them and tells.

/// The value of `variable`, which `tests/run` sets.
#[must_use]
pub fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run ./tests/run"))
}

/// `MySQL` or `MariaDB`, without a database.
#[must_use]
pub fn mysql() -> String {
    address("TEST_MYSQL_URL").trim_end_matches('/').to_owned()
}

/// Cassandra's `host:port`.
#[must_use]
pub fn cassandra() -> String {
    address("TEST_CASSANDRA")
}

/// Kafka's `host:port`.
#[must_use]
pub fn kafka() -> String {
    address("TEST_KAFKA_BROKERS")
}

/// The base of the schema registry's API.
#[must_use]
pub fn registry() -> String {
    address("TEST_REGISTRY_URL").trim_end_matches('/').to_owned()
}

/// S3's `host:port`.
#[must_use]
pub fn s3() -> String {
    let endpoint = address("AWS_ENDPOINT_URL");
    endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

/// A bucket; the endpoint and credentials are in `AWS_…`, which the programs inherit.
#[must_use]
pub fn bucket() -> String {
    address("TEST_S3_BUCKET")
}

/// A Python with `DuckDB`.
#[must_use]
pub fn python() -> String {
    address("TEST_PYTHON")
}
