//! What the picker counts. Names and labels are documented here and in the modules once; each lane holds its own handles.
//!
//! | `signalbox_picker_…` | labels | |
//! |---|---|---|
//! | `requests_total` | pool, outcome, reason | picked, refused (with its reason), unavailable or abandoned |
//! | `decision_seconds` | pool | from the end of a request to the choice of its endpoint |
//! | `streams`, `body_bytes_total` | pool | open ext_proc streams, request bodies received |
//! | `connections`, `connection_errors_total` | | ext_proc connections |
//! | by model and class | | see [`models`] |
//! | of the queue | | see [`flow`] |
//! | of pools and endpoints | | see `pool::collector` |
//! | `scrapes_total`, `scrape_…` | result | see `scrape::ScrapeCounters` |
//! | `decisions_…` | why | see `decisions` |
//! | `peers_connected`, `peer_…` | | see `peers` |
//! | `prompts_counted_total`, `tokenizer…` | | see `tokenizer` |
//! | `spans_total` | result | see `spans` |

mod flow;
mod models;

pub use flow::{Ended, FlowMetrics};
pub use models::{Asks, ModelMetrics, PickMetrics};

use flow::FlowFamilies;
use models::ModelFamilies;
use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: RwLock<Registry>,
    /// Metrics under the names of other pickers.
    peers: RwLock<Registry>,
    flow: FlowFamilies,
    models: ModelFamilies,
    requests: Family<RequestLabels, Counter>,
    decision: Family<PoolLabels, Histogram>,
    streams: Family<PoolLabels, Gauge>,
    body_bytes: Family<PoolLabels, Counter>,
    /// ext_proc connections that are open.
    pub connections: Gauge,
    /// Connections that ended by an error, or were not accepted.
    pub connection_errors: Counter,
}

const DECISION_SECONDS: [f64; 12] =
    [10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 50e-3, 0.1];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    pool: String,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    pool: String,
}

/// The metrics of one pool.
#[derive(Debug)]
pub struct PoolMetrics {
    pool: String,
    requests: Family<RequestLabels, Counter>,
    /// Requests that were given an endpoint.
    pub picked: Counter,
    /// Requests whose stream ended before a decision.
    pub abandoned: Counter,
    /// From the end of the request's body to the decision, in seconds.
    pub decision: Histogram,
    /// Streams that are open.
    pub streams: Gauge,
    /// Bytes of request bodies received.
    pub body_bytes: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that count from zero.
    pub fn new() -> Self {
        let metrics = Self {
            registry: RwLock::new(Registry::with_prefix("signalbox_picker")),
            peers: RwLock::default(),
            flow: FlowFamilies::default(),
            models: ModelFamilies::default(),
            requests: Family::default(),
            decision: Family::new_with_constructor(|| Histogram::new(DECISION_SECONDS)),
            streams: Family::default(),
            body_bytes: Family::default(),
            connections: Gauge::default(),
            connection_errors: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut r = self.registry.write();
        let mut peers = self.peers.write();
        self.flow.register(&mut r, &mut peers);
        self.models.register(&mut r, &mut peers);
        let extension = peers.sub_registry_with_prefix("inference_extension");
        extension.register_with_unit(
            "scheduler_e2e_duration",
            "Time from the end of a request to the choice of its endpoint",
            Unit::Seconds,
            self.decision.clone(),
        );
        r.register(
            "requests",
            "Requests by pool and outcome: picked, refused (with its reason), unavailable or abandoned",
            self.requests.clone(),
        );
        r.register_with_unit(
            "decision",
            "Time from the end of a request to the choice of its endpoint",
            Unit::Seconds,
            self.decision.clone(),
        );
        r.register("streams", "Open ext_proc streams", self.streams.clone());
        r.register_with_unit("body", "Request bodies received", Unit::Bytes, self.body_bytes.clone());
        r.register("connections", "Open ext_proc connections", self.connections.clone());
        r.register(
            "connection_errors",
            "ext_proc connections that ended by an error or were not accepted",
            self.connection_errors.clone(),
        );
    }

    /// Adds metrics of another part, under the same prefix.
    pub fn extend(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.write());
    }

    /// Adds metrics under the names of other pickers.
    pub fn extend_peers(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.peers.write());
    }

    /// The handles of one pool, by model.
    pub fn models(&self, pool: &str) -> ModelMetrics {
        self.models.pool(pool)
    }

    /// The handles of one pool's gate.
    pub fn flow(&self, pool: &str) -> FlowMetrics {
        self.flow.pool(pool)
    }

    /// The handles of one pool.
    pub fn pool(&self, pool: &str) -> PoolMetrics {
        let labels = PoolLabels { pool: pool.to_owned() };
        let request = |outcome| RequestLabels { pool: pool.to_owned(), outcome, reason: "" };
        // Owned handles: two guards of one family at a time would deadlock.
        PoolMetrics {
            pool: pool.to_owned(),
            requests: self.requests.clone(),
            picked: self.requests.get_or_create_owned(&request("picked")),
            abandoned: self.requests.get_or_create_owned(&request("abandoned")),
            decision: self.decision.get_or_create_owned(&labels),
            streams: self.streams.get_or_create_owned(&labels),
            body_bytes: self.body_bytes.get_or_create_owned(&labels),
        }
    }

    /// Counts a stream that was not served, because its pool is not known here.
    pub fn unavailable(&self, reason: &'static str) {
        let labels = RequestLabels { pool: String::new(), outcome: "unavailable", reason };
        self.requests.get_or_create(&labels).inc();
    }

    /// The metrics as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        for registry in [&self.registry, &self.peers] {
            encode_registry(&mut text, &registry.read()).expect("writing to a String cannot fail");
        }
        encode_eof(&mut text).expect("writing to a String cannot fail");
        text
    }
}

impl PoolMetrics {
    /// Counts a request that was refused.
    pub fn refused(&self, reason: &'static str) {
        let labels = RequestLabels { pool: self.pool.clone(), outcome: "refused", reason };
        self.requests.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_by_pool_and_reason() {
        let metrics = Metrics::new();
        let pool = metrics.pool("ns/a");
        pool.picked.inc();
        pool.refused("saturated");
        metrics.unavailable("unknown_pool");
        let text = metrics.encode();
        for line in [
            r#"signalbox_picker_requests_total{pool="ns/a",outcome="picked",reason=""} 1"#,
            r#"signalbox_picker_requests_total{pool="ns/a",outcome="refused",reason="saturated"} 1"#,
            r#"signalbox_picker_requests_total{pool="",outcome="unavailable",reason="unknown_pool"} 1"#,
            r#"signalbox_picker_streams{pool="ns/a"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
