//! The source tables: made and filled by `seed`, continued by `append`.

mod append;
mod database;
mod insert;
mod rows;
mod seed;
mod tables;

pub use append::{AppendSummary, append};
pub use seed::{SeedSummary, seed};
