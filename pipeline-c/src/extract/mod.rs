//! Kafka: the consumer, its assignment, and the way of records to their workers.

mod assignment;
mod chunk;
mod consumer;
mod drive;
mod pace;
mod rounds;

pub use assignment::{Assignment, Shared};
pub use chunk::Chunk;
pub use consumer::{EventConsumer, connect, leave};
pub use drive::drive;
