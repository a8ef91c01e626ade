//! One stream: feeds a session with requests, snapshots and time, and sends what it answers.

use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{
    Limits,
    wire::{Wire, gateway_of, identity_of},
};
use crate::{
    api::NamespacedName,
    identity::{self, Peer, may_follow},
    xds::{
        Event, Metrics, Nodes, Observation, Publisher, Session, Step,
        encode::{self, Frame},
        nodes::Connection,
    },
};

/// What all streams share.
pub(super) struct Context {
    pub(super) publisher: Publisher,
    pub(super) nodes: Nodes,
    pub(super) limits: Limits,
    /// Bounds how many streams are given their first snapshot at the same time.
    pub(super) initial: Semaphore,
    pub(super) token: CancellationToken,
    /// Counts refusals. With it, clients need an identity.
    pub(super) identities: Option<identity::Metrics>,
}

type Outbound = mpsc::Sender<Result<Frame, Status>>;

/// Serves a stream until the client leaves, it fails or the server shuts down.
pub(super) async fn serve_stream<W: Wire>(
    context: &Context,
    peer: Option<Peer>,
    inbound: Streaming<W>,
    outbound: Outbound,
) {
    let status = match run::<W>(context, peer, inbound, &outbound).await {
        Ok(()) => return,
        Err(status) => status,
    };
    tracing::debug!(%status, "xds stream ended");
    // A client that makes no room for it does not need it.
    drop(outbound.try_send(Err(status)));
}

async fn run<W: Wire>(
    context: &Context,
    peer: Option<Peer>,
    mut inbound: Streaming<W>,
    outbound: &Outbound,
) -> Result<(), Status> {
    let first = tokio::select! {
        first = timeout(context.limits.first_request, inbound.message()) => first,
        () = context.token.cancelled() => return Err(Status::unavailable("shutting down; connect again")),
    };
    let late = |_| Status::deadline_exceeded("no request came in time");
    let Some(mut first) = first.map_err(late)?? else { return Ok(()) };
    let node = first.take_node().unwrap_or_default();
    let Some(gateway) = gateway_of(&node) else {
        let text = format!(
            "node.cluster is {:?}, but it has to name the Gateway as namespace/name: set --service-cluster",
            node.cluster
        );
        return Err(Status::invalid_argument(text));
    };
    let identity = identity_of(node);
    if let Some(metrics) = &context.identities {
        may_follow(&peer.unwrap_or_default(), &gateway).map_err(|denied| {
            metrics.deny("ads");
            tracing::warn!(%gateway, node = identity.id, %denied, "an envoy was refused");
            Status::permission_denied(denied.to_string())
        })?;
    }
    tracing::info!(%gateway, node = identity.id, envoy = identity.envoy, protocol = ?W::PROTOCOL, "envoy connected");
    let mut stream = Stream {
        session: Session::new(W::PROTOCOL, context.limits.timing),
        connection: context.nodes.connect(&gateway, identity.clone(), W::PROTOCOL, Timestamp::now()),
        context,
        outbound,
        gateway,
        node: identity.id,
    };
    let ended = stream.follow::<W>(first, inbound).await;
    tracing::info!(gateway = %stream.gateway, node = stream.node, "envoy disconnected");
    ended
}

struct Stream<'a> {
    session: Session,
    connection: Connection,
    context: &'a Context,
    outbound: &'a Outbound,
    gateway: NamespacedName,
    node: String,
}

impl Stream<'_> {
    async fn follow<W: Wire>(&mut self, first: W, mut inbound: Streaming<W>) -> Result<(), Status> {
        let mut following = self.context.publisher.follow(&self.gateway);
        self.request(first).await?;
        let mut primed = false;
        loop {
            let deadline = self.session.deadline();
            let tick = async {
                match deadline {
                    Some(deadline) => sleep_until(Instant::from_std(deadline)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = inbound.message() => match message? {
                    Some(message) => self.request(message).await?,
                    None => return Ok(()),
                },
                release = following.next() => {
                    let permit = if primed { None } else { self.context.initial.acquire().await.ok() };
                    primed = true;
                    self.take(Event::Release(release)).await?;
                    drop(permit);
                }
                () = tick => self.take(Event::Tick).await?,
                () = self.context.token.cancelled() => {
                    return Err(Status::unavailable("shutting down; connect again"));
                }
                () = self.outbound.closed() => return Ok(()),
            }
        }
    }

    async fn request<W: Wire>(&mut self, message: W) -> Result<(), Status> {
        match message.into_request() {
            Some(request) => {
                tracing::trace!(gateway = %self.gateway, node = self.node, ?request, "request");
                self.take(Event::Request(request)).await
            }
            None => Ok(()),
        }
    }

    async fn take(&mut self, event: Event) -> Result<(), Status> {
        let step = self.session.on(event, Instant::now().into_std());
        self.observe(&step);
        // Before sending: an answer may arrive at once, and readers must not see an older state after it.
        self.connection.update(self.session.standing(), Timestamp::now());
        for response in &step.responses {
            let frame = encode::frame(self.session.protocol(), response);
            self.metrics().sent(response.kind, response.resources.len());
            self.send(frame).await?;
        }
        Ok(())
    }

    async fn send(&self, frame: Frame) -> Result<(), Status> {
        match timeout(self.context.limits.send, self.outbound.send(Ok(frame))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Status::cancelled("the client has gone")),
            Err(_) => {
                self.metrics().stuck.inc();
                tracing::warn!(gateway = %self.gateway, node = self.node, "envoy does not read; its stream is ended");
                Err(Status::deadline_exceeded("responses were not read in time; connect again"))
            }
        }
    }

    fn observe(&self, step: &Step) {
        for observation in &step.observations {
            match observation {
                Observation::Acked { kind, after } => self.metrics().acked(*kind, *after),
                Observation::Nacked { kind, resources, message } => {
                    self.metrics().nacked(*kind);
                    let names: Vec<_> = resources.iter().map(|(name, _)| &**name).collect();
                    tracing::warn!(
                        gateway = %self.gateway, node = self.node, ?kind, resources = ?names, message,
                        "envoy rejected a configuration; it keeps the last accepted one"
                    );
                }
                Observation::NotWarm { clusters } => {
                    self.metrics().not_warm.inc();
                    tracing::warn!(
                        gateway = %self.gateway, node = self.node, ?clusters,
                        "clusters did not get warm in time; routes are sent nevertheless"
                    );
                }
            }
        }
    }

    fn metrics(&self) -> &Metrics {
        self.context.nodes.metrics()
    }
}
