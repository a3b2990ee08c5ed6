#![doc = include_str!("../README.md")]

pub mod command;
pub mod offsets;
pub mod partitioning;
pub mod quality;
pub mod retry;
pub mod run;
pub mod schema;
pub mod settings;
pub mod telemetry;

#[cfg(feature = "avro")]
pub mod avro;
#[cfg(feature = "source")]
pub mod batch;
#[cfg(feature = "source")]
pub mod examine;
#[cfg(feature = "source")]
pub mod increment;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "lake")]
pub mod lake;
#[cfg(feature = "profiles")]
pub mod profiles;
#[cfg(feature = "source")]
pub mod source;
