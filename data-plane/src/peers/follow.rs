//! The client: one peer, followed for ever.
//!
//! ```text
//! connect ─▶ Follow ─▶ first message: this process, or one that is heard elsewhere? then not
//!    ▲                     └─ Heard::hear per message
//!    └─ wait ◀─ end, error, silence of a second: Heard is dropped, and with it what it told
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use proto::peers::v1::peers_client::PeersClient;
use proto::peers::v1::{FollowRequest, FollowResponse};
use tokio::time::timeout;
use tonic::transport::Endpoint;

use super::counters::PeerCounters;
use super::heard::Heard;
use super::task::PeersConfig;
use crate::pool::Pools;

/// A peer that tells nothing for this long is gone.
pub(super) const SILENCE: Duration = Duration::from_secs(1);
const CONNECT: Duration = Duration::from_secs(1);
/// Shortest and longest mean wait between attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// An address that is this process's own may be another's later.
const OWN: Duration = Duration::from_secs(60);
/// Four times what a peer sends at most; more is refused.
const LARGEST_MESSAGE: usize = 4 << 20;

/// Whom to follow, and what is done with what is heard.
pub(super) struct Follow {
    pub(super) address: SocketAddr,
    pub(super) config: Arc<PeersConfig>,
    pub(super) pools: Pools,
    pub(super) counters: PeerCounters,
    /// What it knows from before was told.
    pub(super) told: bool,
}

/// How a stream came to its end.
enum Ended {
    /// The address is this process.
    Itself,
    /// The process at the address is heard at another one.
    Twice,
    /// It was heard.
    Heard(anyhow::Error),
}

impl Follow {
    pub(super) async fn run(mut self) {
        let mut rng = fastrand::Rng::new();
        let mut wait = BACKOFF.0;
        loop {
            let pause = match self.once().await {
                Ok(Ended::Itself) => OWN,
                Ok(Ended::Twice) => BACKOFF.1,
                Ok(Ended::Heard(error)) => {
                    self.counters.disconnects.inc();
                    tracing::warn!(
                        peer = %self.address, error = format!("{error:#}"),
                        "a peer is not heard any more; what it has in flight is not counted"
                    );
                    wait = BACKOFF.0;
                    wait
                }
                Err(error) => {
                    self.counters.disconnects.inc();
                    tracing::debug!(peer = %self.address, error = format!("{error:#}"), "a peer is not heard");
                    wait = (wait * 2).min(BACKOFF.1);
                    wait
                }
            };
            tokio::time::sleep(pause.mul_f64(0.5 + rng.f64())).await;
        }
    }

    async fn once(&mut self) -> anyhow::Result<Ended> {
        let config = &*self.config;
        let scheme = if config.certificates.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{}", self.address))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true);
        let endpoint = match &config.certificates {
            Some(certificates) => endpoint.tls_config(certificates.client()?)?,
            None => endpoint,
        };
        let channel =
            timeout(2 * CONNECT, endpoint.connect()).await.context("the handshake takes too long")??;
        let mut client = PeersClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
        let request = FollowRequest {
            picker: config.picker.clone(),
            instance: config.instance,
            pools: config.pools.iter().map(ToString::to_string).collect(),
            known: !self.told,
        };
        let mut stream = timeout(CONNECT, client.follow(request)).await.context("no answer")??.into_inner();
        let mut next = async || -> anyhow::Result<FollowResponse> {
            let message = timeout(SILENCE, stream.message()).await.context("it is silent")??;
            message.context("it ended the stream")
        };
        let first = next().await?;
        if first.instance == config.instance {
            return Ok(Ended::Itself);
        }
        let Some(registration) = self.counters.heard.register(first.instance, self.address, now()) else {
            return Ok(Ended::Twice);
        };
        let mut heard = Heard::new(&self.pools, now());
        let instance = first.instance;
        tracing::info!(peer = %self.address, picker = first.picker, "a peer is heard");
        let mut message = first;
        self.told = true;
        loop {
            registration.heard(now());
            self.counters.heard(&heard.hear(&message, now()));
            message = match next().await {
                Ok(message) if message.instance == instance => message,
                Ok(_) => bail!("it tells as another process than before"),
                Err(error) => return Ok(Ended::Heard(error)),
            };
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
