#![doc = include_str!("../README.md")]

mod api_keys;
mod app;
mod config;
mod connections;
mod envelope;
mod error;
mod json;
mod lake_reader;
mod limits;
mod observe;
mod openapi;
mod params;
mod profile_store;
mod routes;
mod server;

pub use api_keys::KeysError;
pub use config::ApiArgs;
pub use error::ServeError;
pub use server::Server;

use common::run::Shutdown;

/// Binds, prints the address on standard output and answers until `shutdown`.
///
/// Stores that are down do not keep it from starting: what needs them is answered with 503 until they are back.
pub async fn serve(args: &ApiArgs, shutdown: &Shutdown) -> Result<(), ServeError> {
    let server = Server::bind(args).await?;
    server.announce();
    server.run(shutdown).await;
    Ok(())
}
