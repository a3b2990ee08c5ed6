//! One topic a module; each test has a world of its own, so they run side by side.

#![allow(clippy::unwrap_used)] // helpers of tests are tests, too

mod api;
mod api_errors;
mod demo;
mod events;
mod kills;
mod outages;
mod profiles;
mod records;
