//! Why nothing more was produced.

use common::avro::RegistryError;
use common::run::{Exit, JobError};
use rdkafka::error::KafkaError;

/// Why a subcommand ended early.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// The arguments contradict each other.
    #[error("{0}")]
    Settings(String),
    /// The source's address names no database that can be used.
    #[error("cannot use {place} as the source: {problem}")]
    Address {
        /// The address without secrets.
        place: String,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// The source database could not be opened.
    #[error("cannot open the source {place}: {cause}")]
    Connect {
        /// The address without secrets.
        place: String,
        /// The driver's error.
        cause: sqlx::Error,
    },
    /// The source database refused a statement.
    #[error("{doing} failed on {place}: {cause}")]
    Query {
        /// What was tried.
        doing: String,
        /// The address without secrets.
        place: String,
        /// The driver's error.
        cause: sqlx::Error,
    },
    /// `seed` would have destroyed rows.
    #[error("table {table} of {place} already holds rows; --replace drops all of them and begins anew")]
    HoldsRows {
        /// The first table found to hold rows.
        table: &'static str,
        /// The address without secrets.
        place: String,
    },
    /// Two `seed` at once would mix their rows.
    #[error("another seed is at work on {0}; wait for it to end")]
    SeedRunning(String),
    /// `append` found nobody to buy or nothing to sell.
    #[error("{place} has no {table}; run `producer seed` first")]
    Empty {
        /// The table without usable rows.
        table: &'static str,
        /// The address without secrets.
        place: String,
    },
    /// A price is not an amount of money.
    #[error(
        "product {product_id} has the price {price:?}, which is not a DECIMAL(10,2); correct it and run again"
    )]
    Price {
        /// The product.
        product_id: i32,
        /// Its price as the table has it.
        price: String,
    },
    /// The schema could not be registered.
    #[error("cannot register the events' schema: {0}")]
    Registry(#[from] RegistryError),
    /// An event could not be encoded.
    #[error("cannot encode an event: {0}")]
    Avro(#[from] apache_avro::Error),
    /// Kafka could not be reached or refused to go on.
    #[error("{doing} failed on Kafka at {brokers}: {cause}")]
    Kafka {
        /// What was tried.
        doing: String,
        /// Bootstrap servers.
        brokers: String,
        /// The driver's error.
        cause: Box<KafkaError>,
    },
    /// A signal came first.
    #[error("stopped by a signal; {0}")]
    Interrupted(&'static str),
}

impl JobError for ProducerError {
    fn exit(&self) -> Exit {
        match self {
            Self::Settings(_) | Self::Address { .. } | Self::Registry(RegistryError::Address(_)) => {
                Exit::Usage
            }
            Self::Kafka { cause, .. } if matches!(**cause, KafkaError::ClientConfig(..)) => Exit::Usage,
            Self::Interrupted(_) => Exit::Done,
            _ => Exit::Failed,
        }
    }

    fn interrupted(&self) -> bool {
        matches!(self, Self::Interrupted(_))
    }
}
