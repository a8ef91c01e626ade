//! What is counted about connections with certificates.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Counters. Clones share state.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    handshakes: Family<OutcomeLabel, Counter>,
    denied: Family<ApiLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabel {
    api: &'static str,
}

impl Metrics {
    /// Registers everything under `signalbox_identity_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("signalbox_identity");
        let text = "TLS handshakes by outcome: done, failed, timeout, no-certificate";
        registry.register("handshakes", text, self.handshakes.clone());
        let text = "Requests refused because the client certificate is not for what was asked, by API";
        registry.register("denied", text, self.denied.clone());
    }

    pub(super) fn handshake(&self, outcome: &'static str) {
        self.handshakes.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts a request that was refused; `api` is `ads`, `tier` or `replicas`.
    pub fn deny(&self, api: &'static str) {
        self.denied.get_or_create(&ApiLabel { api }).inc();
    }

    /// Requests refused so far.
    pub fn denied(&self, api: &'static str) -> u64 {
        self.denied.get_or_create(&ApiLabel { api }).get()
    }

    /// Handshakes with this outcome so far.
    pub fn handshakes(&self, outcome: &'static str) -> u64 {
        self.handshakes.get_or_create(&OutcomeLabel { outcome }).get()
    }
}
