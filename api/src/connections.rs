//! Connections: how many, how much of a head, and how they end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use common::run::Shutdown;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// How long requests in flight may take after the signal; the contract's limit for the whole program is 10 s.
const DRAIN: Duration = Duration::from_secs(8);

/// Open at the same time; the next ones wait to be accepted.
const CONNECTIONS: usize = 1_024;

/// A client that sends no whole head for so long, or nothing between two requests, is disconnected.
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// So is one that takes nothing of its answer.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// Request line and headers together; more is refused with 431.
const HEAD_BYTES: usize = 16 << 10;

/// More are refused with 431.
const HEADERS: usize = 64;

/// Answers until `shutdown`, then finishes what is in flight, for at most 8 s.
pub async fn serve(listener: TcpListener, router: Router, shutdown: &Shutdown) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES);
    let service = TowerToHyperService::new(router);
    let (slots, open) = (Arc::new(Semaphore::new(CONNECTIONS)), GracefulShutdown::new());
    while let Some((connection, slot)) = shutdown
        .or(async {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("never closed");
            (accept(&listener).await, slot)
        })
        .await
    {
        let connection = open.watch(http.serve_connection(TokioIo::new(connection), service.clone()));
        tokio::spawn(async move {
            // Clients go away; what went wrong here has its own line.
            if let Err(error) = connection.await {
                tracing::debug!("connection ended: {error}");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, open.shutdown()).await.is_err() {
        tracing::warn!("requests were still in flight after {DRAIN:?} and are given up");
    }
}

/// The next connection. Too many open files, say, pass.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                let socket = SockRef::from(&connection);
                // An answer is one write; waiting for more to send would only delay it.
                let set = socket.set_tcp_nodelay(true);
                #[cfg(target_os = "linux")]
                let set = set.and_then(|()| socket.set_tcp_user_timeout(Some(TAKEN_WITHIN)));
                if let Err(error) = set {
                    tracing::debug!("cannot set a connection's options: {error}");
                }
                return connection;
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}
