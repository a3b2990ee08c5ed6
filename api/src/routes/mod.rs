//! An endpoint a file.

pub mod customer;
pub mod docs;
pub mod events;
pub mod health;
pub mod home;
pub mod metrics;
pub mod summary;
