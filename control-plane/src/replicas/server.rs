//! Tells the leader what this replica's Envoys say. Served beside the tier API, and only over mutual TLS.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use futures_util::{Stream, stream};
use prometheus_client::metrics::gauge::Gauge;
use proto::tier::v1::{
    FollowRequest, FollowResponse,
    replicas_server::{Replicas, ReplicasServer},
};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{Metrics, report::Report};
use crate::{
    api::NamespacedName,
    identity::{self, Peer},
    xds::Nodes,
};

/// From a change to its report: acknowledgements come in bursts, and of an Envoy that takes a change in this time
/// nothing has to be said.
const SETTLE: Duration = Duration::from_millis(50);

/// What a replica tells the others, and who it is.
#[derive(Clone, Debug)]
pub struct Reports {
    /// The Envoys that are connected to it.
    pub nodes: Nodes,
    /// The Service of the control plane.
    pub own: NamespacedName,
    /// Name of this replica.
    pub replica: String,
    /// What is counted.
    pub metrics: Metrics,
}

/// The gRPC service.
pub type Service = ReplicasServer<Server>;

impl Reports {
    /// The service, until `cancel` fires; `identities` counts who is refused.
    pub fn service(self, identities: identity::Metrics, cancel: CancellationToken) -> Service {
        ReplicasServer::new(Server { reports: self, identities, cancel })
    }
}

/// Answers other replicas.
#[derive(Debug)]
pub struct Server {
    reports: Reports,
    identities: identity::Metrics,
    cancel: CancellationToken,
}

#[tonic::async_trait]
impl Replicas for Server {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<FollowResponse, Status>> + Send>>;

    async fn follow(&self, request: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        let replica = &request.get_ref().replica;
        identity::is_replica(&peer, &self.reports.own).map_err(|denied| {
            self.identities.deny("replicas");
            tracing::warn!(replica, %denied, "a client that is no replica was refused");
            Status::permission_denied(denied.to_string())
        })?;
        tracing::info!(replica, "another replica listens");
        let told = Told::new(self.reports.metrics.told.clone());
        let mut changes = self.reports.nodes.subscribe_changes();
        changes.mark_changed();
        let telling = Telling {
            reports: self.reports.clone(),
            report: Report::of(&self.reports.replica),
            changes,
            settle: Duration::ZERO,
            queued: VecDeque::new(),
            cancel: self.cancel.clone(),
            _told: told,
        };
        let responses = stream::unfold(telling, |mut telling| async move {
            let response = telling.next().await?;
            Some((Ok(response), telling))
        });
        Ok(Response::new(Box::pin(responses)))
    }
}

/// One stream. A slow one skips states: what is queued is one report, and the next is made when it was read.
struct Telling {
    reports: Reports,
    report: Report,
    changes: watch::Receiver<u64>,
    /// Nothing for the first report.
    settle: Duration,
    queued: VecDeque<FollowResponse>,
    cancel: CancellationToken,
    _told: Told,
}

impl Telling {
    async fn next(&mut self) -> Option<FollowResponse> {
        loop {
            if let Some(response) = self.queued.pop_front() {
                self.reports.metrics.sent.inc();
                return Some(response);
            }
            let due = async {
                self.changes.changed().await.ok()?;
                sleep(self.settle).await;
                self.changes.borrow_and_update();
                Some(())
            };
            tokio::select! {
                () = self.cancel.cancelled() => return None,
                changed = due => changed?,
            }
            let nodes = &self.reports.nodes;
            let states = nodes.gateways().into_iter().map(|name| {
                let state = nodes.gateway_state(&name);
                (name, state)
            });
            self.queued = self.report.observe(states);
            self.settle = SETTLE;
        }
    }
}

/// Counts a stream while it lives.
struct Told(Gauge);

impl Told {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.0.dec();
    }
}
