//! Whose events are followed. One future drives all of them; nothing is spawned.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable, abortable};
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;

use super::counters::{EventCounters, TrustLabels};
use super::follow::Follow;
use crate::pool::{Pools, Publisher, Slot};
use crate::prefix::precise::Trust;

/// How soon changes of pools are noticed, and gauges follow.
const TICK: Duration = Duration::from_millis(200);
/// Replays at the same time.
const REPLAYS: usize = 8;

/// An endpoint that is followed.
struct Entry {
    slot: Arc<Slot>,
    pod: String,
    publisher: Publisher,
    abort: AbortHandle,
}

impl Drop for Entry {
    /// Nobody follows it any more: what is known gets wrong.
    fn drop(&mut self) {
        self.abort.abort();
        if let Some(mirror) = self.slot.mirror() {
            mirror.set_trust(Trust::Off);
            mirror.clear();
        }
    }
}

/// Follows the endpoints of all pools that publish events, until dropped.
pub async fn run(pools: Pools, counters: EventCounters) {
    let replays = Arc::new(Semaphore::new(REPLAYS));
    let mut entries = BTreeMap::new();
    let mut running = FuturesUnordered::new();
    let mut generation = None;
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            Some(_) = running.next() => {}
            _ = ticks.tick() => {
                if generation.replace(pools.generation()) != Some(pools.generation()) {
                    for follow in reconcile(&pools, &mut entries, &counters, &replays) {
                        running.push(follow);
                    }
                }
                observe(&entries, &counters);
            }
        }
    }
}

/// Takes over the publishers of `pools`; answers what is to be run for those that are new.
fn reconcile(
    pools: &Pools,
    entries: &mut BTreeMap<SocketAddr, Entry>,
    counters: &EventCounters,
    replays: &Arc<Semaphore>,
) -> Vec<Abortable<impl Future<Output = ()> + use<>>> {
    let mut old = std::mem::take(entries);
    let mut started = Vec::new();
    for pool in pools.all() {
        let snapshot = pool.snapshot();
        for (address, publisher) in &snapshot.publishers {
            let Some(endpoint) = snapshot.find(*address).map(|index| snapshot.endpoint(index)) else {
                continue;
            };
            if entries.contains_key(address) {
                continue;
            }
            let same = |entry: &Entry| {
                Arc::ptr_eq(&entry.slot, &endpoint.slot)
                    && entry.pod == endpoint.pod
                    && entry.publisher == *publisher
            };
            if old.get(address).is_some_and(same)
                && let Some(entry) = old.remove(address)
            {
                entries.insert(*address, entry);
                continue;
            }
            // Its end clears the mirror, so it goes before the next one begins.
            drop(old.remove(address));
            let slot = Arc::clone(&endpoint.slot);
            let follow = Follow::new(Arc::clone(&slot), *publisher, counters.clone(), Arc::clone(replays));
            let (follow, abort) = abortable(follow.run());
            let entry = Entry { slot, pod: endpoint.pod.clone(), publisher: *publisher, abort };
            entries.insert(*address, entry);
            started.push(follow);
        }
    }
    started
}

fn observe(entries: &BTreeMap<SocketAddr, Entry>, counters: &EventCounters) {
    let mirrors = || entries.values().filter_map(|entry| entry.slot.mirror());
    let blocks: usize = mirrors().map(|mirror| mirror.len()).sum();
    counters.blocks.set(i64::try_from(blocks).unwrap_or(i64::MAX));
    for (trust, name) in [(Trust::Complete, "complete"), (Trust::Partial, "partial"), (Trust::Off, "off")] {
        let count = mirrors().filter(|mirror| mirror.trust() == trust).count();
        let gauge = counters.endpoints.get_or_create_owned(&TrustLabels { trust: name });
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
