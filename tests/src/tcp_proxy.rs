//! Between a program and any service: a connection that a test can cut and restore.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::shop::until;

/// A proxy on a port of its own; it ends when this is dropped.
#[derive(Debug)]
pub struct TcpProxy {
    /// Its `host:port`, for the program.
    pub address: String,
    line: Arc<Line>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Line {
    service: String,
    whole: watch::Sender<bool>,
    /// Bytes that the service may still send before the line is cut.
    left: AtomicU64,
    /// Connections that found the line cut.
    refused: AtomicU64,
}

impl TcpProxy {
    /// Starts between a program and the service at `host:port`.
    pub async fn start(service: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let line = Arc::new(Line {
            service,
            whole: watch::Sender::new(true),
            left: AtomicU64::new(u64::MAX),
            refused: AtomicU64::new(0),
        });
        let serving = Arc::clone(&line);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let line = Arc::clone(&serving);
                // What ends a connection early is an end all the same.
                connections.spawn(async move { drop(line.serve(client).await) });
            }
        });
        Self { address, line, accepting }
    }

    /// Resets every connection, and each new one at once, until [`TcpProxy::restore`].
    pub fn cut(&self) {
        self.line.whole.send_replace(false);
    }

    /// Cuts the line once the service has sent so many more bytes, over all connections.
    pub fn cut_after(&self, bytes: u64) {
        self.line.left.store(bytes, Ordering::Relaxed);
    }

    /// Lets connections through again.
    pub fn restore(&self) {
        self.line.left.store(u64::MAX, Ordering::Relaxed);
        self.line.whole.send_replace(true);
    }

    /// Waits until somebody has met the cut line.
    pub async fn until_refused(&self) {
        until(async || self.line.refused.load(Ordering::Relaxed) > 0, "nobody tried to connect").await;
    }

    /// Waits until the line is cut.
    pub async fn until_cut(&self) {
        let mut whole = self.line.whole.subscribe();
        whole.wait_for(|whole| !whole).await.expect("the proxy holds the sender");
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Line {
    async fn serve(&self, client: TcpStream) -> io::Result<()> {
        let mut whole = self.whole.subscribe();
        if !*whole.borrow_and_update() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return client.set_zero_linger();
        }
        let (mut client, mut service) = (client, TcpStream::connect(&self.service).await?);
        {
            let (mut from_client, mut to_client) = client.split();
            let (mut from_service, mut to_service) = service.split();
            tokio::select! {
                sent = tokio::io::copy(&mut from_client, &mut to_service) => return sent.map(drop),
                received = self.receive(&mut from_service, &mut to_client) => received?,
                _ = whole.wait_for(|whole| !whole) => {}
            }
        }
        if *whole.borrow() {
            return Ok(());
        }
        client.set_zero_linger()?;
        service.set_zero_linger()
    }

    async fn receive(
        &self,
        from: &mut (impl AsyncReadExt + Unpin),
        to: &mut (impl AsyncWriteExt + Unpin),
    ) -> io::Result<()> {
        let mut buffer = vec![0; 4096];
        loop {
            let bytes = from.read(&mut buffer).await?;
            if bytes == 0 {
                return Ok(());
            }
            let count = bytes as u64;
            let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(if left == u64::MAX { left } else { left.saturating_sub(count) })
            });
            if before.is_ok_and(|left| left < count) {
                self.whole.send_replace(false);
                return Ok(());
            }
            to.write_all(&buffer[..bytes]).await?;
        }
    }
}
