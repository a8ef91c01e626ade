//! Serves a Pod on one address: HTTP/1.1 and h2c, until told to stop.
//!
//! open ─ `refuse` set ─▶ closed (connections dropped) ─ cleared ─▶ open;  stop ─▶ no new requests ─▶ drained

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    api,
    pod::Pod,
    wire::{Reset, Wire},
};

/// How long a stopped Pod waits for its answers to end.
const DRAIN: Duration = Duration::from_secs(30);

/// Serves until `stop`; then waits for answers under way.
pub(super) async fn serve(
    pod: Arc<Pod>,
    address: SocketAddr,
    listener: TcpListener,
    stop: CancellationToken,
) {
    let mut faults = pod.watch_faults();
    let mut listener = Some(listener);
    loop {
        let refusing = faults.borrow_and_update().refuse;
        match (refusing, listener.take()) {
            (true, open) => {
                drop(open);
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = faults.changed() => {}
                }
            }
            (false, None) => match TcpListener::bind(address).await {
                Ok(bound) => listener = Some(bound),
                Err(error) => {
                    tracing::warn!(%error, %address, "cannot listen again");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            (false, Some(open)) => {
                let resetting = faults.borrow().reset_on_accept;
                // Connections that are kept alive must meet a fault of connections too: all are closed.
                let changed = async {
                    loop {
                        if faults.changed().await.is_err() {
                            std::future::pending::<()>().await;
                        }
                        let faults = faults.borrow();
                        if faults.refuse || faults.reset_on_accept != resetting {
                            return;
                        }
                    }
                };
                let stopped = tokio::select! {
                    () = accept(&pod, &open, &stop, resetting) => true,
                    () = changed => false,
                };
                if stopped {
                    drop(open);
                    return;
                }
                listener = Some(open);
            }
        }
    }
}

/// Serves the listener's connections until `stop`. Dropping the future closes them all.
async fn accept(pod: &Arc<Pod>, listener: &TcpListener, stop: &CancellationToken, resetting: bool) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if resetting => {
                    pod.count_request();
                    drop_with_reset(stream);
                }
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(pod), stream, &graceful));
                }
                Err(error) => {
                    // Out of descriptors, most likely: the listener itself is sound.
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
        }
    }
    let drained = async {
        graceful.shutdown().await;
        while connections.join_next().await.is_some() {}
    };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!(pod = pod.config().name, "answers were cut off at the end of the drain time");
    }
}

fn connection(
    pod: Arc<Pod>,
    stream: TcpStream,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + 'static {
    let no_delay: io::Result<()> = stream.set_nodelay(true);
    if let Err(error) = no_delay {
        tracing::debug!(%error, "the peer was faster to close");
    }
    let reset = Reset::default();
    let wire = TokioIo::new(Wire::new(stream, reset.clone()));
    let service = service_fn(move |request| api::answer(Arc::clone(&pod), request, reset.clone()));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
    builder.http2().timer(TokioTimer::new());
    let connection = graceful.watch(builder.serve_connection(wire, service).into_owned());
    async move {
        if let Err(error) = connection.await {
            tracing::debug!(error, "connection ended");
        }
    }
}

fn drop_with_reset(stream: TcpStream) {
    let reset = Reset::default();
    reset.order();
    drop(Wire::new(stream, reset));
}
