//! One connection: HTTP/2, and all of its calls, in a single task.
//!
//! ```text
//! turn: h2 reads frames ─▶ calls that have DATA run ─▶ h2 queues their replies ─▶ one write
//! ```
//! Nothing crosses threads and no channel is between h2 and a call.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, Stream};
use h2::server::{Connection, SendResponse};
use h2::{Ping, PingPong, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::grpc::{self, Code, Frames};
use super::health::{self, Health};
use super::io::{Handle, Io, split};
use super::lane::Lanes;
use super::stream::{POOL_METADATA, process};

/// A connection that sends nothing for this long is asked whether it is alive, and closed after as long again.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// From a connection to its first HTTP/2 frame.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Received and not yet read by a call; a body is read as it comes, so this is what is in flight.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// A stream lasts as long as its HTTP request, so there are many; each pool's gate bounds them.
const MAX_STREAMS: u32 = 100_000;

/// What a listener serves.
#[derive(Debug)]
pub struct Service {
    /// ext_proc; None on a port that only answers health checks.
    pub lanes: Option<Arc<Lanes>>,
    /// gRPC health.
    pub health: Health,
}

/// Serves `stream` until either side ends it.
pub async fn serve<T>(stream: T, service: &Service) -> Result<(), h2::Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (io, handle) = split(stream);
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(64 * 1024);
    let mut handshake = pin!(builder.handshake::<_, Frames>(io));
    let handshake = poll_fn(|cx| {
        let polled = handshake.as_mut().poll(cx);
        // A failed write shows in the next read.
        drop(handle.poll_flush(cx));
        polled
    });
    let Ok(connection) = tokio::time::timeout(HANDSHAKE, handshake).await else { return Ok(()) };
    let mut connection = connection?;
    let mut turns = Turns {
        alive: Alive::of(&mut connection),
        connection,
        handle,
        calls: FuturesUnordered::new(),
        open: |request, respond| call(service, request, respond),
    };
    let mut closing = pin!(service.health.closing());
    let mut closed = false;
    poll_fn(|cx| {
        if !closed && closing.as_mut().poll(cx).is_ready() {
            closed = true;
            turns.connection.graceful_shutdown();
        }
        turns.poll(cx)
    })
    .await
}

struct Turns<T, F, O> {
    connection: Connection<Io<T>, Frames>,
    handle: Handle<T>,
    alive: Alive,
    calls: FuturesUnordered<F>,
    open: O,
}

impl<T, F, O> Turns<T, F, O>
where
    T: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = ()>,
    O: Fn(Request<RecvStream>, SendResponse<Frames>) -> F,
{
    /// One turn. Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let ended = loop {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => self.calls.push((self.open)(request, respond)),
                Poll::Ready(Some(Err(e))) => break Some(Err(e)),
                Poll::Ready(None) => break Some(Ok(())),
                Poll::Pending => break None,
            }
        };
        if let Some(ended) = ended {
            // What is left, such as the reason of the end, is worth one attempt.
            drop(self.handle.poll_flush(cx));
            return Poll::Ready(ended);
        }
        while let Poll::Ready(Some(())) = Pin::new(&mut self.calls).poll_next(cx) {}
        if let Poll::Ready(Err(e)) = self.handle.poll_flush(cx) {
            tracing::debug!(error = %e, "connection lost");
            return Poll::Ready(Ok(()));
        }
        self.alive.poll(cx, self.handle.received())
    }
}

/// Asks silent peers whether they are there, so that the streams of one that is gone do not count for ever.
struct Alive {
    ticks: Interval,
    pings: Option<PingPong>,
    received: u64,
    asked: bool,
}

impl Alive {
    fn of<T: AsyncRead + AsyncWrite + Unpin>(connection: &mut Connection<Io<T>, Frames>) -> Self {
        let mut ticks = interval(KEEPALIVE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, pings: connection.ping_pong(), received: 0, asked: false }
    }

    /// Ready when the peer is gone.
    fn poll(&mut self, cx: &mut Context<'_>, received: u64) -> Poll<Result<(), h2::Error>> {
        loop {
            ready!(self.ticks.poll_tick(cx));
            let silent = std::mem::replace(&mut self.received, received) == received;
            if silent && self.asked {
                tracing::debug!("connection closed, the peer does not answer");
                return Poll::Ready(Ok(()));
            }
            self.asked = silent;
            if let Some(pings) = self.pings.as_mut().filter(|_| silent) {
                // Refused only while an earlier ping is out.
                drop(pings.send_ping(Ping::opaque()));
            }
        }
    }
}

/// Serves one call.
async fn call(service: &Service, request: Request<RecvStream>, mut respond: SendResponse<Frames>) {
    let (head, received) = request.into_parts();
    let named = head.headers.get(POOL_METADATA).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let ended = match (head.uri.path(), &service.lanes) {
        ("/envoy.service.ext_proc.v3.ExternalProcessor/Process", Some(lanes)) => {
            process(lanes, named, received, respond).await
        }
        ("/grpc.health.v1.Health/Check", _) => health::check(&service.health, received, respond).await,
        ("/grpc.health.v1.Health/Watch", _) => health::watch(&service.health, received, respond).await,
        _ => respond.send_response(grpc::failure(Code::Unimplemented, "no such method"), true).map(drop),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "call ended early");
    }
}
