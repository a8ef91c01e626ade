//! The gRPC edge: `envoy.service.discovery.v3.AggregatedDiscoveryService` over HTTP/2.
//!
//! ```text
//! listener ─▶ TLS, or none ─▶ HTTP/2 (keepalive) ─▶ Ads ─┬ DeltaAggregatedResources  ─▶ Stream<DeltaDiscoveryRequest>
//!                                                        └ StreamAggregatedResources ─▶ Stream<DiscoveryRequest>
//! Stream ─ Frame ─▶ channel (bounded) ─▶ FrameBody ─▶ HTTP/2
//! ```
//!
//! The service is written by hand because responses are chunks of shared bytes, not messages to be encoded.

mod ads;
mod body;
mod stream;
mod wire;

use std::time::Duration;

use futures_util::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{
    Server,
    server::{Connected, TcpIncoming},
};

use self::ads::Ads;
use super::{Nodes, Publisher, Timing};
use crate::{
    identity::{self, ServerTls},
    tasks::TaskSet,
};

/// Bounds of the server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How often an idle connection is probed.
    pub keepalive_interval: Duration,
    /// How long a probe may take until the connection is closed.
    pub keepalive_timeout: Duration,
    /// Size of the largest request, in bytes. A reconnecting Envoy lists all that it holds.
    pub max_request: usize,
    /// How long a new stream may take until its first request.
    pub first_request: Duration,
    /// How long a client may take to make room for a response until its stream is ended.
    pub send: Duration,
    /// Streams that are given their first snapshot at the same time; others wait.
    pub initial_pushes: usize,
    /// Streams that may be open; further ones are refused.
    pub streams: usize,
    /// How long streams may take to end at shutdown.
    pub shutdown: Duration,
    /// How long listeners and removals wait.
    pub timing: Timing,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(5),
            max_request: 64 << 20,
            first_request: Duration::from_secs(10),
            send: Duration::from_secs(30),
            initial_pushes: 64,
            streams: 20_000,
            shutdown: Duration::from_secs(5),
            timing: Timing::default(),
        }
    }
}

/// Serves ADS, delta and state-of-the-world, in cleartext and to everybody, until `cancel`.
///
/// # Errors
/// If the listener fails, or streams do not end in time.
pub async fn serve(
    listener: TcpListener,
    publisher: Publisher,
    nodes: Nodes,
    limits: Limits,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let tasks = TaskSet::under(&cancel);
    let ads = Ads::new(publisher, nodes, limits.clone(), tasks.clone(), None);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    run(ads, incoming, limits, cancel, tasks).await
}

/// Serves ADS over mutual TLS until `cancel`: an Envoy may follow only the Gateway of its certificate.
///
/// # Errors
/// If the listener fails, or streams do not end in time.
pub async fn serve_tls(
    listener: TcpListener,
    tls: ServerTls,
    publisher: Publisher,
    nodes: Nodes,
    limits: Limits,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let tasks = TaskSet::under(&cancel);
    let ads = Ads::new(publisher, nodes, limits.clone(), tasks.clone(), Some(tls.metrics().clone()));
    let incoming = identity::accept(listener, tls, &tasks);
    run(ads, incoming, limits, cancel, tasks).await
}

async fn run<IO>(
    ads: Ads,
    incoming: impl Stream<Item = std::io::Result<IO>>,
    limits: Limits,
    cancel: CancellationToken,
    tasks: TaskSet,
) -> anyhow::Result<()>
where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let server = Server::builder()
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        .add_service(ads)
        .serve_with_incoming_shutdown(incoming, cancel.clone().cancelled_owned());
    let overdue = async {
        cancel.cancelled().await;
        tokio::time::sleep(limits.shutdown).await;
    };
    tokio::select! {
        ended = server => ended?,
        // Clients that do not close their connection are not waited for.
        () = overdue => {}
    }
    tasks.shutdown();
    Ok(tasks.wait(limits.shutdown).await?)
}
