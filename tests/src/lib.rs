//! Tests across programs on the real services: what they need to set up a world, drive the real binaries in it
//! and compare the outcome with a computation of their own.
//!
//! `tests/run` starts the services, sets their addresses and runs everything.
#![allow(clippy::unwrap_used)] // a test's support: a failure here is the test's failure

pub mod api;
pub mod compare;
pub mod duckdb;
pub mod events;
pub mod expected;
pub mod fault_proxy;
pub mod http;
pub mod http_message;
pub mod judge;
pub mod keyspace;
pub mod lake;
pub mod observer;
pub mod own_broker;
pub mod program;
pub mod services;
pub mod shop;
pub mod sqlite;
pub mod store;
pub mod tcp_proxy;
pub mod topic;
pub mod world;

/// A name that no other test, checkout or run has.
#[must_use]
pub fn unique_name() -> String {
    format!("t_{}", &uuid::Uuid::new_v4().simple().to_string()[..16])
}

/// Whether the tests that take long are asked for, by `tests/run --long`.
#[must_use]
pub fn long() -> bool {
    std::env::var_os("TEST_LONG").is_some()
}

/// Runs the clean-up of a dropped value to its end, whatever runtime the test has and however it ended.
fn clean_up<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) {
    let cleaned = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(work());
    });
    if cleaned.join().is_err() {
        eprintln!("a test's clean-up failed: see above");
    }
}
