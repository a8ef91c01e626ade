//! What the source counts.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Counters of the source. Clones share state.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    events: Family<EventLabel, Counter>,
    errors: Family<ErrorLabel, Counter>,
    relists: Family<ResourceLabel, Counter>,
    objects: Family<ResourceLabel, Gauge>,
    /// Objects that cannot be read.
    pub(super) unreadable: Gauge,
    /// Batches handed over.
    pub(super) batches: Counter,
    /// Changes that a later change of the same object replaced before they were handed over.
    pub(super) merged: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabel {
    resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    resource: String,
    event: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabel {
    resource: String,
    reason: &'static str,
}

impl Metrics {
    /// Registers everything under `signalbox_source_…`.
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("signalbox_source");
        registry.register("events", "Events of watches, by resource and event", self.events.clone());
        registry.register("errors", "Errors of watches, by resource and reason", self.errors.clone());
        let text = "Times that a resource was listed, by resource; the first counts";
        registry.register("lists", text, self.relists.clone());
        registry.register("objects", "Objects, by resource", self.objects.clone());
        registry.register("unreadable_objects", "Objects that cannot be read", self.unreadable.clone());
        registry.register("batches", "Batches handed over", self.batches.clone());
        let text = "Changes replaced by a later one of the same object before they were handed over";
        registry.register("merged_changes", text, self.merged.clone());
    }

    pub(super) fn event(&self, resource: &str, event: &'static str) {
        self.events.get_or_create(&EventLabel { resource: resource.to_owned(), event }).inc();
    }

    pub(super) fn error(&self, resource: &str, reason: &'static str) {
        self.errors.get_or_create(&ErrorLabel { resource: resource.to_owned(), reason }).inc();
    }

    pub(super) fn listed(&self, resource: &str) {
        self.relists.get_or_create(&ResourceLabel { resource: resource.to_owned() }).inc();
    }

    pub(super) fn objects(&self, resource: &str, count: usize) {
        self.objects.get_or_create(&ResourceLabel { resource: resource.to_owned() }).set(count as i64);
    }
}
