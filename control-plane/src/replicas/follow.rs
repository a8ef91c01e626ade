//! Follows one replica: one stream, opened again for ever.
//!
//! ```text
//! certificate of the moment ─▶ connect ─▶ Follow ─▶ state ─ whole ─▶ Heard::All
//!    ▲                   │ end, error, silence (15 s) ─────────────▶ Heard::Lost
//!    └─ wait ◀───────────┘   100 ms … 5 s, jittered; 30 s when it refuses
//! ```

use std::{error::Error as _, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use proto::tier::v1::{FollowRequest, FollowResponse, replicas_client::ReplicasClient};
use tokio::time::{sleep, timeout};
use tonic::{
    Code, Status, Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::{Gateways, Heard, Metrics, wire};
use crate::{api::NamespacedName, identity::ServerTls};

/// Shortest and longest mean wait between attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The same after a refusal, which another attempt does not change soon.
const REFUSED: Duration = Duration::from_secs(30);
/// From the attempt until all is known: the leader writes no status before each replica had this long.
const OPEN: Duration = Duration::from_secs(3);
/// A dead connection is noticed after this and the next.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Who listens.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    /// The Service of the control plane: all replicas show a certificate with its name.
    pub(super) own: NamespacedName,
    /// Name of this replica.
    pub(super) replica: String,
    /// Our certificate.
    pub(super) tls: ServerTls,
    /// What is counted.
    pub(super) metrics: Metrics,
}

/// What the replica at `address` says, whenever it differs; without end.
pub(super) fn follow(listener: Listener, address: SocketAddr) -> impl Stream<Item = Heard> + Send {
    let follower = Follower { listener, address, open: None, wait: Duration::ZERO, told: false };
    stream::unfold(follower, |mut follower| async move {
        let heard = follower.next().await;
        Some((heard, follower))
    })
}

struct Follower {
    listener: Listener,
    address: SocketAddr,
    open: Option<Open>,
    /// Mean wait before the next attempt.
    wait: Duration,
    /// Whether it was logged that the replica cannot be heard; once per outage.
    told: bool,
}

/// An open stream.
struct Open {
    responses: Streaming<FollowResponse>,
    state: Gateways,
    _client: ReplicasClient<Channel>,
}

impl Follower {
    async fn next(&mut self) -> Heard {
        let heard = match &mut self.open {
            Some(open) => open.whole(&self.listener).await,
            None => {
                sleep(self.wait.mul_f64(0.5 + fastrand::f64())).await;
                let late = || Status::deadline_exceeded("it does not answer");
                let opened = timeout(OPEN, self.open()).await.unwrap_or_else(|_| Err(late()));
                opened.map(|(open, state)| {
                    tracing::info!(replica = %self.address, "another replica's Envoys are heard of");
                    (self.open, self.wait, self.told) = (Some(open), BACKOFF.0, false);
                    state
                })
            }
        };
        match heard {
            Ok(state) => Heard::All(state),
            Err(status) => {
                self.lost(&status);
                Heard::Lost
            }
        }
    }

    async fn open(&self) -> Result<(Open, Arc<Gateways>), Status> {
        let mut client = ReplicasClient::new(self.channel()?);
        let request = FollowRequest { replica: self.listener.replica.clone() };
        let responses = client.follow(request).await?.into_inner();
        let mut open = Open { responses, state: Gateways::new(), _client: client };
        let state = open.whole(&self.listener).await?;
        Ok((open, state))
    }

    /// A connection with the certificate of the moment.
    fn channel(&self) -> Result<Channel, Status> {
        let credentials = self.listener.tls.credentials();
        let credentials =
            credentials.ok_or_else(|| Status::unavailable("this replica has no certificate yet"))?;
        let tls = ClientTlsConfig::new()
            .domain_name(self.listener.own.service_host())
            .ca_certificate(Certificate::from_pem(&credentials.trust))
            .identity(Identity::from_pem(&credentials.certificate, &credentials.key));
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address));
        let endpoint = endpoint.and_then(|endpoint| endpoint.tls_config(tls));
        let endpoint = endpoint.map_err(|e| Status::failed_precondition(e.to_string()))?;
        let channel = endpoint
            .connect_timeout(OPEN)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_lazy();
        Ok(channel)
    }

    fn lost(&mut self, status: &Status) {
        self.listener.metrics.failures.inc();
        self.open = None;
        let refused =
            matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented);
        self.wait = if refused { REFUSED } else { (self.wait * 2).clamp(BACKOFF.0, BACKOFF.1) };
        let (replica, reason) = (self.address, text(status));
        if std::mem::replace(&mut self.told, true) {
            tracing::debug!(%replica, reason, "another replica's Envoys are not heard of");
        } else {
            tracing::warn!(
                %replica, reason,
                "another replica's Envoys are not heard of; statuses go by the others until they are"
            );
        }
    }
}

/// What went wrong, with its causes: of a TLS alert, tonic says only "transport error".
fn text(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl Open {
    /// The next state that is whole.
    async fn whole(&mut self, listener: &Listener) -> Result<Arc<Gateways>, Status> {
        loop {
            let response = self.responses.message().await?;
            let response = response.ok_or_else(|| Status::unavailable("it ended the stream"))?;
            listener.metrics.received.inc();
            let synced = response.synced;
            // Our own address is among those that are followed when our Pod is not known: its Envoys count once.
            if response.replica != listener.replica {
                apply(&mut self.state, response);
            }
            if synced {
                return Ok(Arc::new(self.state.clone()));
            }
        }
    }
}

fn apply(state: &mut Gateways, response: FollowResponse) {
    state.extend(response.changed.into_iter().filter_map(wire::decode));
    for name in response.removed {
        state.remove(&wire::key(name));
    }
}
