//! What happened to events.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TrustLabels {
    pub(super) trust: &'static str,
}

/// Counted since the start of the process. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct EventCounters {
    pub(super) events: Counter,
    pub(super) gaps: Counter,
    pub(super) replays: Counter,
    pub(super) resyncs: Counter,
    pub(super) dropped: Counter,
    pub(super) malformed: Counter,
    pub(super) disconnects: Counter,
    pub(super) blocks: Gauge,
    pub(super) endpoints: Family<TrustLabels, Gauge>,
}

impl EventCounters {
    /// Shows them in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let mut counter =
            |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        counter("kv_events", "KV cache events applied", &self.events);
        counter("kv_event_gaps", "Gaps in the numbers of event batches", &self.gaps);
        counter("kv_event_replays", "Replays asked for", &self.replays);
        counter("kv_event_resyncs", "Mirrors of KV caches that were cleared", &self.resyncs);
        counter("kv_event_dropped", "Blocks of events that were not kept", &self.dropped);
        counter("kv_event_malformed", "Event batches that could not be used", &self.malformed);
        counter("kv_event_disconnects", "Event connections that ended or were not made", &self.disconnects);
        registry.register("kv_event_blocks", "Blocks held, as engines tell", self.blocks.clone());
        registry.register(
            "kv_event_endpoints",
            "Endpoints whose events are followed, by how far they are trusted",
            self.endpoints.clone(),
        );
    }
}
