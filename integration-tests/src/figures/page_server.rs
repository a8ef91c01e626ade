//! Metrics pages of many endpoints, served at next to no cost, and counted.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Serves one page on every address until it is dropped.
pub(super) struct PageServer {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    /// The answer as it is written, headers included.
    answer: Mutex<Bytes>,
    served: AtomicU64,
}

impl PageServer {
    /// Starts it.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub(super) async fn start(addresses: &[SocketAddr], page: &[u8]) -> Result<Self> {
        let shared = Arc::new(Shared { answer: Mutex::new(answer(page)), served: AtomicU64::new(0) });
        let mut tasks = JoinSet::new();
        for address in addresses {
            let listener = TcpListener::bind(address).await.with_context(|| format!("{address}"))?;
            tasks.spawn(accept(listener, Arc::clone(&shared)));
        }
        Ok(Self { shared, _tasks: tasks })
    }

    /// Serves another page from now on.
    pub(super) fn set(&self, page: &[u8]) {
        *self.shared.answer.lock() = answer(page);
    }

    /// Pages served so far.
    pub(super) fn served(&self) -> u64 {
        self.shared.served.load(Ordering::Relaxed)
    }
}

fn answer(page: &[u8]) -> Bytes {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=1.0.0; charset=utf-8\r\ncontent-length: {}\r\n\r\n",
        page.len()
    )
    .into_bytes();
    answer.extend_from_slice(page);
    answer.into()
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers every request, whatever it asks for. Requests have no bodies.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        request.extend_from_slice(&buffer[..length]);
        while let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            request.drain(..end + 4);
            let answer = shared.answer.lock().clone();
            if stream.write_all(&answer).await.is_err() {
                return;
            }
            shared.served.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{client::Client, loopback::Block};

    #[tokio::test]
    async fn pages_are_counted() {
        let address = SocketAddr::new(Block::claim().address(10), 8000);
        let server = PageServer::start(&[address], b"a 1\n").await.unwrap();
        let client = Client::new(address);
        assert_eq!(client.get("/metrics").await.unwrap().text(), "a 1\n");
        server.set(b"a 2\n");
        assert_eq!(client.get("/metrics").await.unwrap().text(), "a 2\n");
        assert_eq!(server.served(), 2);
    }
}
