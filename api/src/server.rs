//! From settings to a listening socket to the last answer.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use common::lake::Lake;
use common::run::Shutdown;
use common::telemetry;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::api_keys::ApiKeys;
use crate::app::{self, App};
use crate::config::ApiArgs;
use crate::connections;
use crate::error::ServeError;
use crate::lake_reader::LakeReader;
use crate::profile_store::ProfileStore;

/// An API that is bound to its address, for programs that embed it. Dropping it closes the socket.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    keys: Option<(Arc<ApiKeys>, Signal)>,
}

impl Server {
    /// Takes the address, reads the keys and opens the stores; connections that come now are answered once
    /// [`Server::run`] is called.
    pub async fn bind(args: &ApiArgs) -> Result<Self, ServeError> {
        let keys = args.api_keys_file.as_deref().map(ApiKeys::load).transpose()?.map(Arc::new);
        let refused = |source| ServeError::Listen { address: args.listen.clone(), source };
        let listener = TcpListener::bind(&args.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        if !(address.ip().to_canonical().is_loopback() || keys.is_some() || args.insecure) {
            return Err(ServeError::Exposed { address });
        }
        let app = App {
            profiles: ProfileStore::connect(args.profiles.profiles.clone()).into(),
            lake: LakeReader::new(Lake::open(&args.lake.lake).await?).into(),
            metrics: telemetry::recorder()?,
        };
        let router = app::router(app, keys.clone(), args);
        let hangups = || signal(SignalKind::hangup()).map_err(ServeError::Signal);
        let keys = keys.map(|keys| Ok::<_, ServeError>((keys, hangups()?))).transpose()?;
        Ok(Self { listener, address, router, keys })
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

    /// Answers until `shutdown`, then finishes what is in flight, for at most 8 s. SIGHUP reads the keys again.
    pub async fn run(self, shutdown: &Shutdown) {
        let reloading = async {
            let Some((keys, mut hangups)) = self.keys else { return std::future::pending().await };
            while hangups.recv().await.is_some() {
                keys.reload();
            }
        };
        tokio::select! {
            () = connections::serve(self.listener, self.router, shutdown) => {}
            () = reloading => {}
        }
    }
}
