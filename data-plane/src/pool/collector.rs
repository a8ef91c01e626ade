//! Pools as metrics, read when they are asked for.
//!
//! | `signalbox_picker_…` | labels | |
//! |---|---|---|
//! | `endpoints` | pool, accelerator, state | `fresh`, `stale`, `unread` (by their metrics), `failing`, `draining` |
//! | `endpoint_requests` | pool, accelerator, whose | requests in flight: `own`, those that `peers` told, and those of `others` that scrapes show |
//! | `kv_cache_usage` | pool, accelerator | mean share in use, of endpoints that tell |
//! | `kv_event_ports_invalid` | pool, pod, label, value | 1 for each label of a Pod that should be a port, and is none |
//! | `repicks_total` | pool | picks made again because another took the endpoint at the same moment |
//! | `served_elsewhere_total` | pool | requests that Envoy sent elsewhere than picked |
//!
//! | `llm_d_epp_…`, `inference_pool_…` | labels |
//! |---|---|
//! | `average_kv_cache_utilization`, `average_queue_size`, `average_running_requests`, `ready_endpoints`, `ready_pods` | name, namespace |
//! | `per_endpoint_queue_size` | name, namespace, model_server_endpoint |

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::pools::{Pool, PoolCounters, Pools};
use super::publisher::InvalidPort;
use super::reading::Freshness;
use super::snapshot::Endpoint;

/// Our names.
#[derive(Debug)]
pub struct PoolCollector(pub Pools);

/// Names of other pickers.
#[derive(Debug)]
pub struct PeerCollector(pub Pools);

/// What is shown of an accelerator class of a pool.
#[derive(Default)]
struct Class {
    states: BTreeMap<&'static str, i64>,
    own: i64,
    peers: i64,
    others: i64,
    kv: Mean,
}

/// What is shown of a pool under other pickers' names.
#[derive(Default)]
struct Whole {
    ready: i64,
    kv: Mean,
    waiting: Mean,
    running: Mean,
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn get(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / f64::from(self.count) }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn state(endpoint: &Endpoint, now: Instant) -> &'static str {
    match endpoint.slot.freshness(now) {
        _ if !endpoint.ready => "draining",
        _ if endpoint.slot.is_failing(now) => "failing",
        Freshness::Failing(_) => "failing",
        Freshness::Fresh => "fresh",
        Freshness::Stale(_) => "stale",
        Freshness::Never => "unread",
    }
}

fn classes(pool: &Pool, now: Instant) -> BTreeMap<String, Class> {
    let mut classes: BTreeMap<String, Class> = BTreeMap::new();
    for endpoint in &pool.peek().endpoints {
        let class = classes.entry(endpoint.accelerator.clone()).or_default();
        let load = endpoint.slot.load(now);
        *class.states.entry(state(endpoint, now)).or_default() += 1;
        class.own += i64::from(load.own);
        class.peers += i64::from(load.peers);
        class.others += i64::from(load.foreign);
        class.kv.add(load.kv_used.map(f64::from));
    }
    classes
}

impl Collector for PoolCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = now();
        let pools: Vec<(String, Arc<Pool>, _)> = self
            .0
            .all()
            .into_iter()
            .map(|pool| {
                let classes = classes(&pool, now);
                (pool.key().to_string(), pool, classes)
            })
            .collect();
        let of = |key: &String, class: &String| [("pool", key.clone()), ("accelerator", class.clone())];
        type Counts = fn(&Class) -> Vec<(&'static str, i64)>;
        let counted: [(&str, &str, &str, Counts); 2] = [
            ("endpoints", "Endpoints by accelerator class and state", "state", |class| {
                class.states.iter().map(|(state, count)| (*state, *count)).collect()
            }),
            (
                "endpoint_requests",
                "Requests in flight at endpoints: our own, those that peers told, and those of others that scrapes show",
                "whose",
                |class| vec![("own", class.own), ("peers", class.peers), ("others", class.others)],
            ),
        ];
        for (name, help, label, counts) in counted {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (key, _, classes) in &pools {
                for (class, (value, count)) in classes
                    .iter()
                    .flat_map(|(name, class)| counts(class).into_iter().map(move |one| (name, one)))
                {
                    let [pool, accelerator] = of(key, class);
                    let labels = [pool, accelerator, (label, value.to_owned())];
                    ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        let mut family = encoder.encode_descriptor(
            "kv_cache_usage",
            "Mean share of the KV cache in use, of endpoints that tell",
            None,
            MetricType::Gauge,
        )?;
        for (key, _, classes) in &pools {
            for (name, class) in classes.iter().filter(|(_, class)| class.kv.count > 0) {
                ConstGauge::new(class.kv.get()).encode(family.encode_family(&of(key, name))?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "kv_event_ports_invalid",
            "Labels of Pods that should be the port of their KV events, and are none",
            None,
            MetricType::Gauge,
        )?;
        for (key, pool, _) in &pools {
            for InvalidPort { pod, label, value } in &pool.peek().invalid_ports {
                let labels = [("pool", key.as_str()), ("pod", pod), ("label", label), ("value", value)];
                ConstGauge::new(1).encode(family.encode_family(&labels)?)?;
            }
        }
        type Count = fn(&PoolCounters) -> u64;
        let counters: [(&str, &str, Count); 2] = [
            ("repicks", "Picks made again because another took the endpoint at the same moment", |c| {
                c.repicks.load(Relaxed)
            }),
            ("served_elsewhere", "Requests that Envoy sent elsewhere than picked", |c| {
                c.moved.load(Relaxed) + c.moved_unknown.load(Relaxed)
            }),
        ];
        for (name, help, count) in counters {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (key, pool, _) in &pools {
                let labels = [("pool", key.clone())];
                ConstCounter::new(count(pool.counters())).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn whole(pool: &Pool, now: Instant) -> Whole {
    let mut whole = Whole::default();
    for endpoint in pool.peek().endpoints.iter().filter(|endpoint| endpoint.ready) {
        let load = endpoint.slot.load(now);
        whole.ready += 1;
        whole.kv.add(load.kv_used.map(f64::from));
        whole.waiting.add(load.waiting.map(f64::from));
        whole.running.add(load.running.map(f64::from));
    }
    whole
}

impl Collector for PeerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = now();
        let pools: Vec<_> = self.0.all().into_iter().map(|pool| (whole(&pool, now), pool)).collect();
        let of = |pool: &Pool| {
            [("name", pool.key().name().to_owned()), ("namespace", pool.key().namespace().to_owned())]
        };
        type Value = fn(&Whole) -> f64;
        let means: [(&str, &str, Value); 3] = [
            ("average_kv_cache_utilization", "Mean share of the KV cache in use", |whole| whole.kv.get()),
            ("average_queue_size", "Mean number of requests that wait in a model server", |w| {
                w.waiting.get()
            }),
            ("average_running_requests", "Mean number of requests that run in a model server", |w| {
                w.running.get()
            }),
        ];
        for (name, help, value) in means {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (whole, pool) in &pools {
                ConstGauge::new(value(whole)).encode(family.encode_family(&of(pool))?)?;
            }
        }
        for name in ["ready_endpoints", "ready_pods"] {
            let mut family =
                encoder.encode_descriptor(name, "Endpoints that take requests", None, MetricType::Gauge)?;
            for (whole, pool) in &pools {
                ConstGauge::new(whole.ready).encode(family.encode_family(&of(pool))?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "per_endpoint_queue_size",
            "Requests that wait in a model server",
            None,
            MetricType::Gauge,
        )?;
        for (_, pool) in &pools {
            for endpoint in &pool.peek().endpoints {
                let Some(waiting) = endpoint.slot.load(now).waiting else { continue };
                let [name, namespace] = of(pool);
                let labels = [name, namespace, ("model_server_endpoint", endpoint.address().to_string())];
                ConstGauge::new(i64::from(waiting)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
