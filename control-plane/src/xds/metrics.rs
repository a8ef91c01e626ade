//! What the xDS server counts.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::ResourceType;

/// Counters of the xDS server. Clones share state.
#[derive(Clone, Debug)]
pub struct Metrics {
    responses: Family<TypeLabel, Counter>,
    resources: Family<TypeLabel, Counter>,
    rejections: Family<TypeLabel, Counter>,
    acknowledged: Family<TypeLabel, Histogram>,
    /// Streams that are open.
    pub streams: Gauge,
    /// Streams that were ended because the client did not read for too long.
    pub stuck: Counter,
    /// Streams that were refused because too many are open.
    pub refused: Counter,
    /// Times that listeners and routes were sent before new clusters were warm.
    pub not_warm: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    resource: &'static str,
}

impl TypeLabel {
    fn of(kind: ResourceType) -> Self {
        let resource = match kind {
            ResourceType::Cluster => "cluster",
            ResourceType::Endpoint => "endpoint",
            ResourceType::Listener => "listener",
            ResourceType::Scope => "scope",
            ResourceType::Route => "route",
            ResourceType::Secret => "secret",
        };
        Self { resource }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        // From a loopback answer to a cluster that gets warm only by Envoy's own timeout (15 s).
        let buckets =
            || Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0]);
        Self {
            responses: Family::default(),
            resources: Family::default(),
            rejections: Family::default(),
            acknowledged: Family::new_with_constructor(buckets as fn() -> Histogram),
            streams: Gauge::default(),
            stuck: Counter::default(),
            refused: Counter::default(),
            not_warm: Counter::default(),
        }
    }
}

impl Metrics {
    /// Registers everything under `signalbox_xds_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("signalbox_xds");
        registry.register("responses", "Responses sent, by resource type", self.responses.clone());
        registry.register("resources", "Resources sent, by type", self.resources.clone());
        registry.register("rejections", "Responses that an Envoy rejected, by type", self.rejections.clone());
        let text = "Time from sending a response to its acknowledgement, by type";
        registry.register("acknowledgement_seconds", text, self.acknowledged.clone());
        registry.register("streams", "Streams that are open", self.streams.clone());
        let text = "Streams ended because the client did not read for too long";
        registry.register("stuck_streams", text, self.stuck.clone());
        let text = "Streams refused because too many are open";
        registry.register("refused_streams", text, self.refused.clone());
        let text = "Times that routes were sent before new clusters were warm";
        registry.register("not_warm", text, self.not_warm.clone());
    }

    /// Resources of a type sent so far.
    pub fn resources_sent(&self, kind: ResourceType) -> u64 {
        self.resources.get_or_create(&TypeLabel::of(kind)).get()
    }

    /// Responses of a type sent so far.
    pub fn responses_sent(&self, kind: ResourceType) -> u64 {
        self.responses.get_or_create(&TypeLabel::of(kind)).get()
    }

    pub(super) fn sent(&self, kind: ResourceType, resources: usize) {
        self.responses.get_or_create(&TypeLabel::of(kind)).inc();
        self.resources.get_or_create(&TypeLabel::of(kind)).inc_by(resources as u64);
    }

    pub(super) fn acked(&self, kind: ResourceType, after: Duration) {
        self.acknowledged.get_or_create(&TypeLabel::of(kind)).observe(after.as_secs_f64());
    }

    pub(super) fn nacked(&self, kind: ResourceType) {
        self.rejections.get_or_create(&TypeLabel::of(kind)).inc();
    }
}
