//! What the status writer counts.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::api::Kind;

/// Counters of the status writer. Clones share state.
#[derive(Clone, Debug)]
pub struct Metrics {
    writes: Family<KindLabel, Counter>,
    conflicts: Counter,
    errors: Family<FailureLabel, Counter>,
    depth: Gauge,
    seconds: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabel {
    reason: Failure,
}

/// Why a write failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Failure {
    /// The API server cannot be reached.
    Connection,
    /// The API server did not answer in time.
    Timeout,
    /// An RBAC rule is missing.
    Forbidden,
    /// The API server refuses the content.
    Invalid,
    /// Any other answer.
    Other,
}

impl Default for Metrics {
    fn default() -> Self {
        let buckets = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
        Self {
            writes: Family::default(),
            conflicts: Counter::default(),
            errors: Family::default(),
            depth: Gauge::default(),
            seconds: Histogram::new(buckets),
        }
    }
}

impl Metrics {
    /// Registers everything under `signalbox_status_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("signalbox_status");
        registry.register("writes", "Statuses written, by kind", self.writes.clone());
        let text = "Writes that were refused because somebody else wrote in between";
        registry.register("conflicts", text, self.conflicts.clone());
        registry.register(
            "errors",
            "Writes that failed, by reason; each is tried again",
            self.errors.clone(),
        );
        registry.register("queue_depth", "Objects that wait or are under way", self.depth.clone());
        registry.register("write_seconds", "Time that a write takes", self.seconds.clone());
    }

    /// Statuses of a kind written so far.
    pub fn writes(&self, kind: Kind) -> u64 {
        self.writes.get_or_create(&KindLabel { kind: kind.as_str() }).get()
    }

    /// Conflicts so far.
    pub fn conflicts(&self) -> u64 {
        self.conflicts.get()
    }

    pub(super) fn written(&self, kind: Kind) {
        self.writes.get_or_create(&KindLabel { kind: kind.as_str() }).inc();
    }

    pub(super) fn conflict(&self) {
        self.conflicts.inc();
    }

    pub(super) fn failed(&self, reason: Failure) {
        self.errors.get_or_create(&FailureLabel { reason }).inc();
    }

    pub(super) fn depth(&self, objects: usize) {
        self.depth.set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    pub(super) fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }
}
