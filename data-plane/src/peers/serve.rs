//! The server: each follower is told what differs, 40 times a second at most.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use prometheus_client::metrics::gauge::Gauge;
use proto::peers::v1::peers_server::{Peers, PeersServer};
use proto::peers::v1::{FollowRequest, FollowResponse};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::counters::PeerCounters;
use super::task::PeersConfig;
use super::telling::Telling;
use super::tls::{Certificates, Names, may_hear};
use crate::pool::Pools;

/// Between two messages to a follower.
const TICK: Duration = Duration::from_millis(25);
/// Streams at the same time; further ones are refused.
const FOLLOWERS: usize = 32;
/// Handshakes at the same time, and how long one may take. When there are more, accepting waits.
const HANDSHAKES: usize = 32;
const HANDSHAKE: Duration = Duration::from_secs(5);
/// A connection whose other end is gone is noticed after this and as long again.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What followers are told.
#[derive(Debug)]
pub struct Told {
    config: Arc<PeersConfig>,
    pools: Pools,
    counters: PeerCounters,
    places: Arc<Semaphore>,
}

impl Told {
    /// What happens in `pools`.
    #[must_use]
    pub fn new(config: Arc<PeersConfig>, pools: Pools, counters: PeerCounters) -> Self {
        Self { config, pools, counters, places: Arc::new(Semaphore::new(FOLLOWERS)) }
    }

    fn allowed(&self, request: &Request<FollowRequest>) -> Result<Option<Vec<String>>, Status> {
        let asked = &request.get_ref().pools;
        let Some(certificates) = &self.config.certificates else {
            return Ok((!asked.is_empty()).then(|| asked.clone()));
        };
        let own = certificates.own().map_err(|error| Status::internal(format!("{error:#}")))?;
        let chain = request.peer_certs();
        let peer = chain.as_ref().and_then(|chain| chain.first()).map(Names::of).unwrap_or_default();
        may_hear(&peer, &own, asked).map_err(Status::permission_denied)
    }
}

/// One follower.
struct Following {
    telling: Telling,
    ticks: Interval,
    counters: PeerCounters,
    _place: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Following {
    async fn next(mut self) -> Option<(Result<FollowResponse, Status>, Self)> {
        loop {
            if let Some(response) = self.telling.next(tokio::time::Instant::now().into_std()) {
                let blocks = response.sent.iter().map(|sent| sent.blocks.len() as u64).sum();
                self.counters.told(blocks, response.missed);
                return Some((Ok(response), self));
            }
            self.ticks.tick().await;
        }
    }
}

struct Counted(Gauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[tonic::async_trait]
impl Peers for Told {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<FollowResponse, Status>> + Send>>;

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let allowed = self.allowed(&request).inspect_err(|status| {
            tracing::warn!(from = ?request.remote_addr(), reason = status.message(), "a follower was refused");
        })?;
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.counters.ignored("follower");
            return Err(Status::resource_exhausted(format!("{FOLLOWERS} others follow already")));
        };
        self.counters.followers.inc();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = tokio::time::Instant::now().into_std();
        let own = (self.config.instance, self.config.picker.as_str());
        let telling = Telling::new(own, &self.pools, allowed, now);
        let following = Following {
            telling: if request.get_ref().known { telling.with_known() } else { telling },
            ticks,
            counters: self.counters.clone(),
            _place: place,
            _counted: Counted(self.counters.followers.clone()),
        };
        Ok(Response::new(Box::pin(stream::unfold(following, Following::next))))
    }
}

/// Serves followers on `listener`, until dropped.
///
/// # Errors
/// The server fails.
pub async fn serve(listener: TcpListener, told: Told) -> anyhow::Result<()> {
    let certificates = told.config.certificates.clone();
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .max_concurrent_streams(Some(FOLLOWERS as u32))
        .add_service(PeersServer::new(told));
    let connections = TcpListenerStream::new(listener).filter_map(async |accepted| {
        let connection = accepted.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        match connection {
            Ok(stream) => Some(stream),
            Err(error) => {
                // Out of file descriptors, mostly: others may end meanwhile.
                tracing::warn!(%error, "a connection of a peer was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    });
    match certificates {
        None => server.serve_with_incoming(connections.map(Ok::<_, io::Error>)).await?,
        Some(certificates) => {
            let shaken = connections
                .map(|stream| handshake(certificates.clone(), stream))
                .buffer_unordered(HANDSHAKES)
                .filter_map(async |shaken| {
                    shaken
                        .inspect_err(|error| tracing::debug!(error = format!("{error:#}"), "no handshake"))
                        .ok()
                });
            server.serve_with_incoming(shaken.map(Ok::<_, io::Error>)).await?;
        }
    }
    Ok(())
}

async fn handshake(
    certificates: Certificates,
    stream: TcpStream,
) -> anyhow::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    let acceptor = tokio_rustls::TlsAcceptor::from(certificates.server()?);
    Ok(timeout(HANDSHAKE, acceptor.accept(stream)).await??)
}
