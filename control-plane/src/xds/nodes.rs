//! What every connected Envoy holds, per Gateway: the truth behind `Programmed` and `signalbox status`.
//!
//! ```text
//! stream ─▶ connect ─▶ Connection (drop = disconnected) ─ update(Standing) ─▶ Nodes ─▶ gateway_state, is_current
//!                                                                               └────▶ change counter (watch)
//! ```

use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Metrics, Protocol, Publisher, Rejection, ResourceType, Standing, Version};
use crate::api::NamespacedName;

/// The registry of connected Envoys. Clones share state.
#[derive(Clone, Debug)]
pub struct Nodes {
    publisher: Publisher,
    metrics: Metrics,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Guards all records; held for lookups and small updates only, never over an await.
    gateways: Mutex<BTreeMap<NamespacedName, BTreeMap<u64, Record>>>,
    next_stream: AtomicU64,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Record {
    identity: Identity,
    protocol: Protocol,
    since: Timestamp,
    seen: Timestamp,
    standing: Standing,
}

/// Who an Envoy says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `node.id` of its bootstrap.
    pub id: String,
    /// Its version, for example `1.40.0`; empty if it does not say.
    pub envoy: String,
}

/// What is known about the Envoys of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayState {
    /// The version of the latest snapshot, endpoints aside.
    pub configuration: Option<Version>,
    /// Connected Envoys.
    pub connected: usize,
    /// Those of them that accepted everything of the latest snapshot.
    pub current: usize,
    /// Each connected Envoy, in the order in which they connected.
    pub nodes: Vec<NodeState>,
    /// Rejected versions, each once, with the Envoys that reject it.
    pub nacks: Vec<Nack>,
}

/// One connected Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// Who it says it is.
    pub identity: Identity,
    /// The variant of the protocol that it speaks.
    pub protocol: Protocol,
    /// When it connected.
    pub since: Timestamp,
    /// When it was last heard of.
    pub seen: Timestamp,
    /// Whether it accepted everything of the latest snapshot.
    pub current: bool,
    /// The version of each type that it holds, where it accepted one.
    pub versions: BTreeMap<ResourceType, Version>,
    /// What it rejects.
    pub rejected: Vec<Rejection>,
}

/// A rejected version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack {
    /// Type.
    pub kind: ResourceType,
    /// Names of the resources that have this version and were rejected for this reason.
    pub resources: Vec<String>,
    /// The version that was rejected. The last accepted one stays in use; an Envoy that restarts has none.
    pub version: Version,
    /// Envoy's words.
    pub message: String,
    /// Ids of the Envoys that reject it.
    pub nodes: Vec<String>,
}

impl Nodes {
    /// A registry of the Envoys that follow `publisher`.
    pub fn new(publisher: Publisher) -> Self {
        let shared = Shared {
            gateways: Mutex::default(),
            next_stream: AtomicU64::new(0),
            changes: watch::Sender::new(0),
        };
        Self { publisher, metrics: Metrics::default(), shared: Arc::new(shared) }
    }

    /// What the server counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Gateways that an Envoy is connected for, whether they exist or not.
    pub fn gateways(&self) -> Vec<NamespacedName> {
        self.shared.gateways.lock().keys().cloned().collect()
    }

    /// What is known about the Envoys of a Gateway.
    pub fn gateway_state(&self, gateway: &NamespacedName) -> GatewayState {
        let release = self.publisher.release(gateway);
        let gateways = self.shared.gateways.lock();
        let records = gateways.get(gateway).into_iter().flat_map(BTreeMap::values);
        let nodes: Vec<_> = records.map(|record| record.state(release.as_ref())).collect();
        GatewayState {
            configuration: release.map(|release| release.configuration()),
            connected: nodes.len(),
            current: nodes.iter().filter(|node| node.current).count(),
            nacks: nacks(&nodes),
            nodes,
        }
    }

    /// Whether at least one Envoy is connected for the Gateway and each accepted everything of its latest snapshot.
    pub fn is_current(&self, gateway: &NamespacedName) -> bool {
        let Some(release) = self.publisher.release(gateway) else { return false };
        let gateways = self.shared.gateways.lock();
        let records = gateways.get(gateway);
        records.is_some_and(|records| records.values().all(|record| record.is_at(Some(&release))))
    }

    /// Waits until [`Self::is_current`]. Safe to cancel.
    pub async fn until_current(&self, gateway: &NamespacedName) {
        let mut changes = self.subscribe_changes();
        // `self` holds the sender: waiting does not fail.
        while !self.is_current(gateway) && changes.changed().await.is_ok() {}
    }

    /// A counter that moves whenever an Envoy connects, disconnects, accepts or rejects something.
    pub fn subscribe_changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Registers an Envoy until the connection is dropped.
    pub(super) fn connect(
        &self,
        gateway: &NamespacedName,
        identity: Identity,
        protocol: Protocol,
        now: Timestamp,
    ) -> Connection {
        let stream = self.shared.next_stream.fetch_add(1, Ordering::Relaxed);
        let record = Record { identity, protocol, since: now, seen: now, standing: Standing::default() };
        self.shared.gateways.lock().entry(gateway.clone()).or_default().insert(stream, record);
        self.metrics.streams.inc();
        self.changed();
        Connection { nodes: self.clone(), gateway: gateway.clone(), stream }
    }

    fn changed(&self) {
        self.shared.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Record {
    fn is_at(&self, release: Option<&Arc<super::Release>>) -> bool {
        match (&self.standing.release, release) {
            (Some(held), Some(latest)) => self.standing.current && Arc::ptr_eq(held, latest),
            _ => false,
        }
    }

    fn state(&self, release: Option<&Arc<super::Release>>) -> NodeState {
        let versions = ResourceType::ALL.into_iter().zip(self.standing.versions);
        NodeState {
            identity: self.identity.clone(),
            protocol: self.protocol,
            since: self.since,
            seen: self.seen,
            current: self.is_at(release),
            versions: versions.filter_map(|(kind, version)| Some((kind, version?))).collect(),
            rejected: self.standing.rejected.clone(),
        }
    }
}

fn nacks(nodes: &[NodeState]) -> Vec<Nack> {
    let mut merged: BTreeMap<_, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for node in nodes {
        for rejection in &node.rejected {
            let key = (rejection.kind, rejection.version, &*rejection.message);
            let resources = merged.entry(key).or_default();
            resources.entry(&rejection.name).or_default().push(node.identity.id.clone());
        }
    }
    let nack = |((kind, version, message), resources): ((_, _, &str), BTreeMap<&str, Vec<String>>)| {
        let names = resources.keys().map(|name| (*name).to_owned()).collect();
        let mut nodes: Vec<_> = resources.into_values().flatten().collect();
        nodes.sort();
        nodes.dedup();
        Nack { kind, resources: names, version, message: message.to_owned(), nodes }
    };
    merged.into_iter().map(nack).collect()
}

/// One Envoy's entry; dropping it disconnects.
#[derive(Debug)]
pub(super) struct Connection {
    nodes: Nodes,
    gateway: NamespacedName,
    stream: u64,
}

impl Connection {
    /// The Envoy was heard of, or something was sent to it.
    pub(super) fn update(&self, standing: Standing, now: Timestamp) {
        let changed = {
            let mut gateways = self.nodes.shared.gateways.lock();
            let Some(record) = gateways.get_mut(&self.gateway).and_then(|g| g.get_mut(&self.stream)) else {
                return;
            };
            record.seen = now;
            let before = mem::replace(&mut record.standing, standing);
            !before.same(&record.standing)
        };
        if changed {
            self.nodes.changed();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        {
            let mut gateways = self.nodes.shared.gateways.lock();
            if let Some(records) = gateways.get_mut(&self.gateway) {
                records.remove(&self.stream);
                if records.is_empty() {
                    gateways.remove(&self.gateway);
                }
            }
        }
        self.nodes.metrics.streams.dec();
        self.nodes.changed();
    }
}

#[cfg(test)]
mod tests;
