//! The latest snapshot of each Gateway, for streams to follow.
//!
//! ```text
//! publish(gateway, snapshot) ─▶ watch<Option<Release>> per Gateway ─▶ Following (one per stream)
//! ```
//!
//! A watch holds one value: a slow stream skips what it missed. A Gateway that is unknown, or was removed, holds none.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Release, Snapshot};
use crate::api::NamespacedName;

type Latest = watch::Sender<Option<Arc<Release>>>;

/// Hands out snapshots. Clones share state.
#[derive(Clone, Debug, Default)]
pub struct Publisher {
    /// Guards the set of Gateways, and the order of their snapshots; never held over an await.
    gateways: Arc<Mutex<BTreeMap<NamespacedName, Latest>>>,
}

impl Publisher {
    /// Publishes a Gateway's snapshot to all its streams. Nothing happens if no version differs.
    pub fn publish(&self, gateway: &NamespacedName, snapshot: Arc<Snapshot>) {
        // Compared under the lock, so that a concurrent `remove` cannot leave streams with an orphaned watch.
        self.gateways.lock().entry(gateway.clone()).or_default().send_if_modified(|current| {
            let next = match current {
                None => Release::first(snapshot),
                Some(release) => match release.next(snapshot) {
                    None => return false,
                    Some(next) => next,
                },
            };
            *current = Some(Arc::new(next));
            true
        });
    }

    /// Forgets a Gateway. Envoys that are connected keep what they hold; new ones get nothing.
    pub fn remove(&self, gateway: &NamespacedName) {
        let mut gateways = self.gateways.lock();
        if let Some(latest) = gateways.get(gateway) {
            latest.send_replace(None);
            drop_unused(&mut gateways, gateway);
        }
    }

    /// A Gateway's latest snapshot.
    pub fn current(&self, gateway: &NamespacedName) -> Option<Arc<Snapshot>> {
        self.release(gateway).map(|release| release.snapshot().clone())
    }

    /// A Gateway's latest release.
    pub fn release(&self, gateway: &NamespacedName) -> Option<Arc<Release>> {
        self.gateways.lock().get(gateway)?.borrow().clone()
    }

    /// The latest snapshots of all Gateways.
    pub fn snapshots(&self) -> BTreeMap<NamespacedName, Arc<Snapshot>> {
        let gateways = self.gateways.lock();
        let current = |latest: &Latest| Some(latest.borrow().as_ref()?.snapshot().clone());
        gateways.iter().filter_map(|(key, latest)| Some((key.clone(), current(latest)?))).collect()
    }

    /// Follows a Gateway, known or not.
    pub(super) fn follow(&self, gateway: &NamespacedName) -> Following {
        let mut receiver = self.gateways.lock().entry(gateway.clone()).or_default().subscribe();
        receiver.mark_changed();
        Following { publisher: self.clone(), gateway: gateway.clone(), receiver: Some(receiver) }
    }
}

/// Entries exist for known Gateways and for those that a stream waits for.
fn drop_unused(gateways: &mut BTreeMap<NamespacedName, Latest>, gateway: &NamespacedName) {
    if gateways.get(gateway).is_some_and(|latest| latest.receiver_count() == 0 && latest.borrow().is_none()) {
        gateways.remove(gateway);
    }
}

/// One stream's view of its Gateway.
#[derive(Debug)]
pub(super) struct Following {
    publisher: Publisher,
    gateway: NamespacedName,
    receiver: Option<watch::Receiver<Option<Arc<Release>>>>,
}

impl Following {
    /// The latest release, the first time at once and then when there is another. Waits while the Gateway is
    /// unknown or removed. Safe to cancel.
    pub(super) async fn next(&mut self) -> Arc<Release> {
        let receiver = self.receiver.as_mut().expect("present until drop");
        loop {
            if receiver.changed().await.is_err() {
                // The publisher is held by `self`, and entries with a receiver stay: this cannot be reached.
                std::future::pending::<()>().await;
            }
            if let Some(release) = receiver.borrow_and_update().clone() {
                return release;
            }
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.receiver = None;
        drop_unused(&mut self.publisher.gateways.lock(), &self.gateway);
    }
}

#[cfg(test)]
mod tests;
