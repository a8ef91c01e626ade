//! The client of the tier API: one Watch stream, opened again for ever.
//!
//! ```text
//! read certificates ─▶ connect ─▶ Watch(known revisions) ─▶ Pools::apply per message
//!    ▲            │ end, error, silence
//!    └─ wait ◀────┘   100 ms … 5 s, jittered; last good pools are kept
//! ```

use std::path::PathBuf;
use std::time::Duration;

use proto::tier::v1::pools_client::PoolsClient;
use proto::tier::v1::{PoolName, WatchRequest};
use tonic::transport::{Channel, Endpoint};

use crate::pool::{PoolKey, Pools};
use crate::tls;

/// Shortest and longest mean wait between attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A snapshot of 100,000 endpoints takes about 30 MB.
const LARGEST_MESSAGE: usize = 128 << 20;
/// A dead connection is noticed after this and the next.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How to reach the control plane.
#[derive(Clone, Debug)]
pub struct TierConfig {
    /// For example `http://signalbox.signalbox-system:9003`.
    pub uri: http::Uri,
    /// Directory of the certificates, read at each connection; without it the connection is plaintext.
    pub tls_directory: Option<PathBuf>,
    /// Names this process in the control plane's logs and status.
    pub picker_id: String,
    /// The pools wanted; empty for every one that this picker may read.
    pub pools: Vec<PoolKey>,
}

/// Keeps `pools` equal to what the control plane sends, until dropped.
pub async fn run(pools: Pools, config: TierConfig) {
    let mut rng = fastrand::Rng::new();
    let mut wait = BACKOFF.0;
    loop {
        let (received, end) = match channel(&config) {
            Ok(channel) => watch(&pools, &config, channel).await,
            Err(error) => (false, tonic::Status::failed_precondition(format!("{error:#}"))),
        };
        if received {
            wait = BACKOFF.0;
        }
        tracing::warn!(control_plane = %config.uri, reason = %end, "pool stream ended; last good pools are kept");
        tokio::time::sleep(wait.mul_f64(0.5 + rng.f64())).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}

/// A connection with the certificates of the moment.
fn channel(config: &TierConfig) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from(config.uri.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let endpoint = match &config.tls_directory {
        Some(directory) => endpoint.tls_config(tls::client(directory)?)?,
        None => endpoint,
    };
    Ok(endpoint.connect_lazy())
}

/// One stream: whether anything was received, and why it ended.
async fn watch(pools: &Pools, config: &TierConfig, channel: Channel) -> (bool, tonic::Status) {
    let name = |key: &PoolKey| PoolName { namespace: key.namespace().into(), name: key.name().into() };
    let request = WatchRequest {
        picker_id: config.picker_id.clone(),
        pools: config.pools.iter().map(name).collect(),
        known: pools.known(),
    };
    let mut client = PoolsClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
    let mut stream = match client.watch(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return (false, status),
    };
    tracing::info!(control_plane = %config.uri, "pool stream opened");
    let mut received = false;
    loop {
        match stream.message().await {
            Ok(Some(response)) => {
                received = true;
                for problem in pools.apply(response) {
                    tracing::warn!(%problem, "part of a pool cannot be used");
                }
            }
            Ok(None) => return (received, tonic::Status::unavailable("the control plane closed the stream")),
            Err(status) => return (received, status),
        }
    }
}

#[cfg(test)]
mod tests;
