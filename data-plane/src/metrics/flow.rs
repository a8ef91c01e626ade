//! What waits, and what became of it. The same numbers are also given under the names of other pickers.
//!
//! | `signalbox_picker_…` | labels | |
//! |---|---|---|
//! | `queue_depth` | pool | requests that wait; what an autoscaler looks at, also for a pool without endpoints |
//! | `queue_requests`, `queue_held_bytes` | pool, priority | requests that wait, and their bytes |
//! | `queue_wait_seconds` | pool, priority, outcome | time in the queue of requests that left it |
//! | `queue_outcomes_total` | pool, priority, outcome, reason | requests that left the queue (dispatched, shed, cancelled) or did not get in (refused) |
//! | `evictions_total` | pool, priority | requests in flight that were ended for more important ones |
//! | `saturation` | pool | share of what the pool takes that is taken; 1 while nothing fits |
//!
//! | `llm_d_epp_flow_control_…`, `inference_extension_flow_control_…` | labels |
//! |---|---|
//! | `queue_size`, `queue_bytes` | inference_pool, namespace, priority |
//! | `request_queue_duration_seconds`, `requests_total` | and outcome |
//! | `pool_saturation` | inference_pool, namespace, stage="effective" |

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::PoolLabels;

type Ratio = Gauge<f64, AtomicU64>;

/// Prefixes of other pickers' metrics: llm-d's, and the older one of the inference extension.
const PEERS: [&str; 2] = ["llm_d_epp_flow_control", "inference_extension_flow_control"];

const WAIT_SECONDS: [f64; 14] =
    [1e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// How a request's time at the gate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It waited and was let through.
    Dispatched,
    /// It waited and was shed.
    Shed,
    /// It waited and its client left.
    Cancelled,
    /// It was not let wait.
    Refused,
}

impl Ended {
    fn name(self) -> &'static str {
        match self {
            Self::Dispatched => "dispatched",
            Self::Shed => "shed",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }

    /// llm-d's word for it.
    fn peer(self, reason: &str) -> &'static str {
        match (self, reason) {
            (Self::Dispatched, _) => "Dispatched",
            (Self::Cancelled, _) => "EvictedContextCancelled",
            (Self::Shed, "queue_timeout" | "client_deadline") => "EvictedTTL",
            (Self::Shed, "no_endpoints") => "EvictedNoEndpoints",
            (Self::Shed, _) => "EvictedOther",
            (Self::Refused, "no_endpoints") => "RejectedNoEndpoints",
            (Self::Refused, "queue_full" | "saturated") => "RejectedCapacity",
            (Self::Refused, _) => "RejectedOther",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BandLabels {
    pool: String,
    priority: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitLabels {
    pool: String,
    priority: i32,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    pool: String,
    priority: i32,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerBand {
    inference_pool: String,
    namespace: String,
    priority: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerOutcome {
    inference_pool: String,
    namespace: String,
    priority: i32,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerPool {
    inference_pool: String,
    namespace: String,
    stage: &'static str,
}

/// The families of all pools. Cloning shares them.
#[derive(Debug, Clone)]
pub(super) struct FlowFamilies {
    depth: Family<PoolLabels, Gauge>,
    requests: Family<BandLabels, Gauge>,
    bytes: Family<BandLabels, Gauge>,
    wait: Family<WaitLabels, Histogram>,
    outcomes: Family<OutcomeLabels, Counter>,
    evictions: Family<BandLabels, Counter>,
    saturation: Family<PoolLabels, Ratio>,
    peer_requests: Family<PeerBand, Gauge>,
    peer_bytes: Family<PeerBand, Gauge>,
    peer_wait: Family<PeerOutcome, Histogram>,
    peer_outcomes: Family<PeerOutcome, Counter>,
    peer_saturation: Family<PeerPool, Ratio>,
}

impl Default for FlowFamilies {
    fn default() -> Self {
        Self {
            depth: Family::default(),
            requests: Family::default(),
            bytes: Family::default(),
            wait: Family::new_with_constructor(|| Histogram::new(WAIT_SECONDS)),
            outcomes: Family::default(),
            evictions: Family::default(),
            saturation: Family::default(),
            peer_requests: Family::default(),
            peer_bytes: Family::default(),
            peer_wait: Family::new_with_constructor(|| Histogram::new(WAIT_SECONDS)),
            peer_outcomes: Family::default(),
            peer_saturation: Family::default(),
        }
    }
}

impl FlowFamilies {
    pub(super) fn register(&self, ours: &mut Registry, peers: &mut Registry) {
        ours.register("queue_depth", "Requests that wait for room or for endpoints", self.depth.clone());
        ours.register("queue_requests", "Requests that wait, by priority", self.requests.clone());
        ours.register_with_unit(
            "queue_held",
            "Bytes of requests that wait, by priority",
            Unit::Bytes,
            self.bytes.clone(),
        );
        ours.register_with_unit(
            "queue_wait",
            "Time in the queue of requests that left it, by outcome",
            Unit::Seconds,
            self.wait.clone(),
        );
        ours.register(
            "queue_outcomes",
            "Requests that left the queue (dispatched, shed, cancelled) or did not get in (refused)",
            self.outcomes.clone(),
        );
        ours.register(
            "evictions",
            "Requests in flight that were ended for more important ones that waited",
            self.evictions.clone(),
        );
        ours.register(
            "saturation",
            "Share of the requests that the pool takes which it has; 1 while nothing fits",
            self.saturation.clone(),
        );
        for prefix in PEERS {
            let peer = peers.sub_registry_with_prefix(prefix);
            peer.register("queue_size", "Requests that wait", self.peer_requests.clone());
            // The name ends in the unit already.
            peer.register("queue_bytes", "Bytes of requests that wait", self.peer_bytes.clone());
            peer.register_with_unit(
                "request_queue_duration",
                "Time in the queue",
                Unit::Seconds,
                self.peer_wait.clone(),
            );
            peer.register("requests", "Requests by outcome", self.peer_outcomes.clone());
            peer.register("pool_saturation", "Share of capacity in use", self.peer_saturation.clone());
        }
    }

    /// The handles of `pool` ("namespace/name").
    pub(super) fn pool(&self, pool: &str) -> FlowMetrics {
        let (namespace, name) = pool.split_once('/').unwrap_or(("", pool));
        FlowMetrics {
            families: self.clone(),
            pool: pool.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            seen: Mutex::default(),
        }
    }
}

/// The metrics of one pool's gate.
#[derive(Debug)]
pub struct FlowMetrics {
    families: FlowFamilies,
    pool: String,
    namespace: String,
    name: String,
    /// Priorities that were shown once, so that their gauges return to 0.
    seen: Mutex<BTreeSet<i32>>,
}

impl FlowMetrics {
    /// A request's time at the gate ended after it had `waited`.
    pub fn ended(&self, priority: i32, ended: Ended, reason: &'static str, waited: Duration) {
        let (outcome, pool) = (ended.name(), || self.pool.clone());
        let labels = OutcomeLabels { pool: pool(), priority, outcome, reason };
        self.families.outcomes.get_or_create(&labels).inc();
        let peer = PeerOutcome {
            inference_pool: self.name.clone(),
            namespace: self.namespace.clone(),
            priority,
            outcome: ended.peer(reason),
        };
        self.families.peer_outcomes.get_or_create(&peer).inc();
        if ended != Ended::Refused {
            let labels = WaitLabels { pool: pool(), priority, outcome };
            self.families.wait.get_or_create(&labels).observe(waited.as_secs_f64());
            self.families.peer_wait.get_or_create(&peer).observe(waited.as_secs_f64());
        }
    }

    /// A request in flight has to end for one that waits.
    pub fn evicted(&self, priority: i32) {
        let labels = BandLabels { pool: self.pool.clone(), priority };
        self.families.evictions.get_or_create(&labels).inc();
    }

    /// Sets the gauges: saturation, and (priority, requests, bytes) of what waits.
    pub fn observe(&self, saturation: f64, waiting: &[(i32, usize, usize)]) {
        let pool = PoolLabels { pool: self.pool.clone() };
        let (namespace, inference_pool) = (self.namespace.clone(), self.name.clone());
        let peer = PeerPool { inference_pool, namespace, stage: "effective" };
        self.families.saturation.get_or_create(&pool).set(saturation);
        self.families.peer_saturation.get_or_create(&peer).set(saturation);
        let depth: usize = waiting.iter().map(|(_, requests, _)| requests).sum();
        self.families.depth.get_or_create(&pool).set(gauge(depth));
        let mut seen = self.seen.lock();
        seen.extend(waiting.iter().map(|(priority, ..)| *priority));
        for priority in &*seen {
            let (_, requests, bytes) =
                waiting.iter().find(|(known, ..)| known == priority).copied().unwrap_or_default();
            let band = BandLabels { pool: self.pool.clone(), priority: *priority };
            self.families.requests.get_or_create(&band).set(gauge(requests));
            self.families.bytes.get_or_create(&band).set(gauge(bytes));
            let band = PeerBand {
                inference_pool: self.name.clone(),
                namespace: self.namespace.clone(),
                priority: *priority,
            };
            self.families.peer_requests.get_or_create(&band).set(gauge(requests));
            self.families.peer_bytes.get_or_create(&band).set(gauge(bytes));
        }
    }
}

impl Drop for FlowMetrics {
    /// A pool that is gone has no gauges.
    fn drop(&mut self) {
        let pool = PoolLabels { pool: self.pool.clone() };
        let (namespace, inference_pool) = (self.namespace.clone(), self.name.clone());
        self.families.depth.remove(&pool);
        self.families.saturation.remove(&pool);
        let peer = PeerPool { inference_pool, namespace, stage: "effective" };
        self.families.peer_saturation.remove(&peer);
        for priority in std::mem::take(self.seen.get_mut()) {
            let band = BandLabels { pool: self.pool.clone(), priority };
            self.families.requests.remove(&band);
            self.families.bytes.remove(&band);
            let (inference_pool, namespace) = (self.name.clone(), self.namespace.clone());
            let band = PeerBand { inference_pool, namespace, priority };
            self.families.peer_requests.remove(&band);
            self.families.peer_bytes.remove(&band);
        }
    }
}

fn gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
