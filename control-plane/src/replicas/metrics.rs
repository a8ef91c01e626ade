//! What is counted about replicas.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Counters. Clones share state.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Replicas that this one hears.
    pub heard: Gauge,
    /// Responses received from them.
    pub received: Counter,
    /// Streams to them that could not be opened, or ended.
    pub failures: Counter,
    /// Replicas that hear this one.
    pub told: Gauge,
    /// Responses sent to them.
    pub sent: Counter,
}

impl Metrics {
    /// Registers everything under `signalbox_replicas_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("signalbox_replicas");
        let text = "Other replicas whose Envoys this one hears of; only the leader listens";
        registry.register("heard", text, self.heard.clone());
        registry.register("received", "Responses received from other replicas", self.received.clone());
        let text = "Streams to other replicas that could not be opened, or ended";
        registry.register("failures", text, self.failures.clone());
        registry.register("told", "Replicas that hear of this one's Envoys", self.told.clone());
        registry.register("sent", "Responses sent to other replicas", self.sent.clone());
    }
}
