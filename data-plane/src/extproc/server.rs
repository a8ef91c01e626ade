//! Listeners and workers: each connection lives on one of a few threads, the one with the fewest.
//!
//! ```text
//! accept ─ least connections ─▶ worker thread (current-thread runtime): TLS, HTTP/2, calls
//! ```
//! Envoy keeps one connection per worker thread of its own to each picker, so connections are few and long-lived.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};

use super::connection::{Service, serve};
use crate::tls::Acceptor;

/// Accepted connections that wait for a worker. When it is full, accepting waits: the kernel's backlog takes over.
const WAITING: usize = 64;
/// From a connection to the end of its TLS handshake.
const TLS_HANDSHAKE: Duration = Duration::from_secs(10);

/// Counters of a server's connections.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    /// Open ones.
    pub open: Gauge,
    /// Those that ended by an error.
    pub errors: Counter,
}

/// What a server needs besides its listener.
#[derive(Clone)]
pub struct Options {
    /// What is served.
    pub service: Arc<Service>,
    /// TLS; None: h2c.
    pub tls: Option<Arc<Acceptor>>,
    /// Threads, at least one.
    pub workers: usize,
    /// Counters.
    pub connections: Connections,
}

struct Worker {
    queue: mpsc::Sender<std::net::TcpStream>,
    open: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<()>,
}

/// Opens a listener; the error names the address.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|e| io::Error::new(e.kind(), format!("cannot listen on {address}: {e}")))
}

/// Serves `listener` until it is told to close and every call has ended.
pub async fn run(listener: TcpListener, options: Options) -> io::Result<()> {
    let workers: Vec<Worker> =
        (0..options.workers.max(1)).map(|n| start_worker(n, options.clone())).collect::<io::Result<_>>()?;
    let closing = options.service.health.closing();
    tokio::pin!(closing);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut closing => break,
        };
        match accepted {
            Ok((stream, _)) => hand_over(&workers, stream, &options.connections).await,
            Err(error) => {
                // Out of file descriptors, mostly: others may end meanwhile.
                options.connections.errors.inc();
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    tokio::task::spawn_blocking(move || {
        for Worker { queue, thread, .. } in workers {
            drop(queue);
            if thread.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
    })
    .await
    .map_err(io::Error::other)
}

async fn hand_over(workers: &[Worker], stream: TcpStream, connections: &Connections) {
    let handed = async {
        stream.set_nodelay(true)?;
        let worker =
            workers.iter().min_by_key(|w| w.open.load(Ordering::Relaxed)).expect("at least one worker");
        worker.open.fetch_add(1, Ordering::Relaxed);
        worker.queue.send(stream.into_std()?).await.map_err(io::Error::other)
    };
    if let Err(error) = handed.await {
        connections.errors.inc();
        tracing::warn!(%error, "a connection was not handed over");
    }
}

fn start_worker(n: usize, options: Options) -> io::Result<Worker> {
    let (queue, waiting) = mpsc::channel(WAITING);
    let open = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&open);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new()
        .name(format!("extproc-{n}"))
        .spawn(move || LocalSet::new().block_on(&runtime, work(waiting, &counted, options)))?;
    Ok(Worker { queue, open, thread })
}

/// Serves connections until the queue is closed and all of them have ended.
async fn work(mut waiting: mpsc::Receiver<std::net::TcpStream>, open: &Arc<AtomicUsize>, options: Options) {
    let mut connections = JoinSet::new();
    let mut accepting = true;
    while accepting || !connections.is_empty() {
        tokio::select! {
            stream = waiting.recv(), if accepting => match stream {
                Some(stream) => {
                    let counted = Counted::new(open, &options.connections.open);
                    connections.spawn_local(connection(stream, options.clone(), counted));
                }
                None => accepting = false,
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                let error = match ended {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => error,
                    Err(panic) => io::Error::other(panic),
                };
                options.connections.errors.inc();
                tracing::debug!(%error, "connection ended");
            }
        }
    }
}

async fn connection(stream: std::net::TcpStream, options: Options, _counted: Counted) -> io::Result<()> {
    let stream = TcpStream::from_std(stream)?;
    let served = match &options.tls {
        None => serve(stream, &options.service).await,
        Some(tls) => {
            let handshake = tokio::time::timeout(TLS_HANDSHAKE, tls.accept(stream));
            serve(handshake.await.map_err(io::Error::other)??, &options.service).await
        }
    };
    served.map_err(io::Error::other)
}

/// Counts a connection at its worker and in the metric; the worker's count was raised when it was handed over.
struct Counted {
    worker: Arc<AtomicUsize>,
    open: Gauge,
}

impl Counted {
    fn new(worker: &Arc<AtomicUsize>, open: &Gauge) -> Self {
        open.inc();
        Self { worker: Arc::clone(worker), open: open.clone() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.worker.fetch_sub(1, Ordering::Relaxed);
        self.open.dec();
    }
}
