//! From settings to a listening socket to the last answer.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use common::lake::Lake;
use common::run::Shutdown;
use common::telemetry;
use tokio::net::TcpListener;

use crate::app::{self, App};
use crate::config::ApiArgs;
use crate::error::ServeError;
use crate::lake_reader::LakeReader;
use crate::profile_store::ProfileStore;

/// How long requests in flight may take after the signal; the contract's limit for the whole program is 10 s.
const DRAIN: Duration = Duration::from_secs(8);

/// An API that is bound to its address, for programs that embed it. Dropping it closes the socket.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

impl Server {
    /// Takes the address and opens the stores; connections that come now are answered once [`Server::run`] is
    /// called.
    pub async fn bind(args: &ApiArgs) -> Result<Self, ServeError> {
        let refused = |source| ServeError::Listen { address: args.listen.clone(), source };
        let listener = TcpListener::bind(&args.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "profiles hold names and e-mails, and this address is reachable from other machines");
        }
        let app = App {
            profiles: ProfileStore::connect(args.profiles.profiles.clone()).into(),
            lake: LakeReader::new(Lake::open(&args.lake.lake).await?).into(),
            metrics: telemetry::recorder()?,
        };
        Ok(Self { listener, address, router: app::router(app) })
    }

    /// The address that was taken; tells the port when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Prints the address on standard output.
    #[allow(clippy::print_stdout)] // scripts that ask for port 0 read it
    pub fn announce(&self) {
        println!("listening on http://{}", self.address);
    }

    /// Answers until `shutdown`, then finishes what is in flight, for at most 8 s.
    pub async fn run(self, shutdown: &Shutdown) -> Result<(), ServeError> {
        // An answer is one write; waiting for more to send would only delay it.
        let listener = self.listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!("cannot set TCP_NODELAY: {error}");
            }
        });
        let stop = shutdown.clone();
        let serving = axum::serve(listener, self.router)
            .with_graceful_shutdown(async move { stop.wait().await })
            .into_future();
        let overdue = async {
            shutdown.wait().await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            served = serving => served.map_err(ServeError::Serve),
            () = overdue => {
                tracing::warn!("requests were still in flight after {DRAIN:?} and are given up");
                Ok(())
            }
        }
    }
}
