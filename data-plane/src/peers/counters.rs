//! What happened between peers, and who is heard.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::heard::Taken;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct What {
    what: &'static str,
}

/// Counted since the start of the process. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct PeerCounters {
    pub(super) followers: Gauge,
    pub(super) disconnects: Counter,
    missed: Counter,
    messages: Family<Direction, Counter>,
    blocks: Family<Direction, Counter>,
    ignored: Family<What, Counter>,
    pub(super) heard: Registered,
}

impl PeerCounters {
    /// Shows them in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("peer_followers", "Streams on which this picker tells", self.followers.clone());
        registry.register(
            "peer_disconnects",
            "Streams of peers that ended or could not be opened",
            self.disconnects.clone(),
        );
        registry.register(
            "peer_prompts_missed",
            "Prompts that were not told because a stream was slow",
            self.missed.clone(),
        );
        registry.register("peer_messages", "Messages between peers", self.messages.clone());
        registry.register("peer_blocks", "Blocks of prompts between peers", self.blocks.clone());
        registry.register("peer_ignored", "What was heard or asked and not used", self.ignored.clone());
        registry.register_collector(Box::new(self.heard.clone()));
    }

    /// A message with so many blocks, which leaves out so many prompts, is told.
    pub(super) fn told(&self, blocks: u64, missed: u64) {
        self.missed.inc_by(missed);
        self.count("told", blocks);
    }

    /// A message was taken in.
    pub(super) fn heard(&self, taken: &Taken) {
        self.count("heard", taken.blocks);
        for (what, count) in [("endpoint", taken.unknown), ("malformed", taken.malformed)] {
            if count > 0 {
                self.ignored.get_or_create(&What { what }).inc_by(count);
            }
        }
    }

    pub(super) fn ignored(&self, what: &'static str) {
        self.ignored.get_or_create(&What { what }).inc();
    }

    fn count(&self, direction: &'static str, blocks: u64) {
        let direction = Direction { direction };
        self.messages.get_or_create(&direction).inc();
        self.blocks.get_or_create(&direction).inc_by(blocks);
    }
}

/// Processes that are heard: where, and when they told something last. Locked once a message, by the edge.
#[derive(Clone, Debug, Default)]
pub(super) struct Registered(Arc<Mutex<BTreeMap<u64, (SocketAddr, Instant)>>>);

impl Registered {
    /// The process `instance` is heard at `address` until this is dropped; None when it is heard already.
    pub(super) fn register(&self, instance: u64, address: SocketAddr, now: Instant) -> Option<Registration> {
        let mut heard = self.0.lock();
        if heard.contains_key(&instance) {
            return None;
        }
        heard.insert(instance, (address, now));
        Some(Registration { registered: self.clone(), instance })
    }
}

/// A process is heard.
#[derive(Debug)]
pub(super) struct Registration {
    registered: Registered,
    instance: u64,
}

impl Registration {
    /// It told something.
    pub(super) fn heard(&self, now: Instant) {
        if let Some((_, last)) = self.registered.0.lock().get_mut(&self.instance) {
            *last = now;
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registered.0.lock().remove(&self.instance);
    }
}

impl Collector for Registered {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = tokio::time::Instant::now().into_std();
        let heard: Vec<_> = self.0.lock().values().copied().collect();
        let connected = encoder.encode_descriptor(
            "peers_connected",
            "Pickers of the same pools that are heard",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(i64::try_from(heard.len()).unwrap_or(i64::MAX)).encode(connected)?;
        let mut family = encoder.encode_descriptor(
            "peer_silence_seconds",
            "Time since the last message of a peer",
            None,
            MetricType::Gauge,
        )?;
        for (address, last) in heard {
            let labels = [("peer", address.to_string())];
            let age = now.saturating_duration_since(last).as_secs_f64();
            ConstGauge::new(age).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
