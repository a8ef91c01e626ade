//! All pool snapshots at one moment, and who hears of the next.

use std::{collections::BTreeMap, sync::Arc};

use proto::tier::v1::PoolSnapshot;
use tokio::sync::watch;

use crate::api::NamespacedName;

/// All pool snapshots. Immutable; the next set shares the snapshots that did not change.
#[derive(Clone, Debug, Default)]
pub struct PoolSet {
    /// Whether the set is complete: false until the source has been read once.
    pub synced: bool,
    /// Snapshots by pool.
    pub pools: BTreeMap<NamespacedName, Arc<PoolSnapshot>>,
}

/// Publishes pool sets to all streams. A slow stream skips sets in between: there is no queue.
#[derive(Clone, Debug)]
pub struct PoolPublisher(watch::Sender<Arc<PoolSet>>);

impl Default for PoolPublisher {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }
}

impl PoolPublisher {
    /// Puts `changed` in and takes `removed` out, as one step; the set counts as synced from then on.
    pub fn update(
        &self,
        changed: impl IntoIterator<Item = (NamespacedName, PoolSnapshot)>,
        removed: &[NamespacedName],
    ) {
        self.0.send_if_modified(|current| {
            let mut next = PoolSet::clone(current);
            let mut differs = !next.synced;
            next.synced = true;
            for (name, snapshot) in changed {
                if next.pools.get(&name).is_none_or(|held| held.revision != snapshot.revision) {
                    next.pools.insert(name, Arc::new(snapshot));
                    differs = true;
                }
            }
            for name in removed {
                differs |= next.pools.remove(name).is_some();
            }
            if differs {
                *current = Arc::new(next);
            }
            differs
        });
    }

    /// The current set.
    pub fn current(&self) -> Arc<PoolSet> {
        self.0.borrow().clone()
    }

    /// Hears of every later set.
    pub fn subscribe(&self) -> watch::Receiver<Arc<PoolSet>> {
        self.0.subscribe()
    }

    /// Number of pickers that are connected.
    pub fn streams(&self) -> usize {
        self.0.receiver_count()
    }
}
