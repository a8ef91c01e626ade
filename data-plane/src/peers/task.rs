//! Whom to follow. One future drives all of them; nothing is spawned.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::FuturesUnordered;

use super::counters::PeerCounters;
use super::find::{Found, find};
use super::follow::Follow;
use super::tls::Certificates;
use crate::pool::{PoolKey, Pools};

/// How soon peers that come and go are noticed.
const RESOLVE: Duration = Duration::from_secs(2);

/// Who this process is to its peers, and where they are.
#[derive(Clone, Debug)]
pub struct PeersConfig {
    /// Differs for each process.
    pub instance: u64,
    /// Names this process in their logs.
    pub picker: String,
    /// Hosts with ports; each name may stand for several addresses, this process's own among them.
    pub names: Vec<String>,
    /// The pools to hear of; empty: all that there are.
    pub pools: Vec<PoolKey>,
    /// Cleartext when absent.
    pub certificates: Option<Certificates>,
}

/// Ends its future.
struct Entry(AbortHandle);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Follows all peers, once there are pools, until dropped.
pub async fn run(config: Arc<PeersConfig>, pools: Pools, counters: PeerCounters) {
    let mut entries: BTreeMap<SocketAddr, Entry> = BTreeMap::new();
    let mut running = FuturesUnordered::new();
    // What peers know from before is told once, of endpoints that have to be known here.
    pools.synced().await;
    let mut ticks = tokio::time::interval(RESOLVE);
    let mut trouble = None;
    loop {
        let found = {
            // Peers are heard while names are resolved.
            let mut resolved = std::pin::pin!(async {
                ticks.tick().await;
                find(&config.names).await
            });
            loop {
                tokio::select! {
                    Some(_) = running.next() => {}
                    found = &mut resolved => break found,
                }
            }
        };
        let Found { addresses, left_out, error } = found;
        (0..left_out).for_each(|_| counters.ignored("peer"));
        // What cannot be resolved now does not go for that.
        if error.is_none() {
            entries.retain(|address, _| addresses.contains(address));
        }
        for address in addresses {
            entries.entry(address).or_insert_with(|| {
                let (config, pools) = (Arc::clone(&config), pools.clone());
                let follow = Follow { address, config, pools, counters: counters.clone(), told: false };
                let (follow, abort) = abortable(follow.run());
                running.push(follow);
                Entry(abort)
            });
        }
        if trouble != error {
            if let Some(error) = &error {
                tracing::warn!(error, "peers cannot be found; those that are known are followed on");
            }
            trouble = error;
        }
    }
}
