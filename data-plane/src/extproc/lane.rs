//! Lanes: what all streams of one pool share, and which pool a stream belongs to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::decisions::{self, Decisions};
use crate::flow::{Gate, Settings};
use crate::metrics::{Metrics, ModelMetrics, PoolMetrics};
use crate::pool::{Pool, Pools};
use crate::request::tokens::Tokens;
use crate::spans::Spans;
use crate::tokenizer::Counter;

/// How soon a scrape or a snapshot is noticed by requests that wait. Endpoints are scraped every 50 ms.
const TICK: Duration = Duration::from_millis(10);

/// How requests are treated, the same for all pools.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Largest request body in bytes.
    pub body_limit: usize,
    /// From the end of a request to its decision.
    pub decision_deadline: Duration,
    /// Share (0..=1) of answers whose body is asked for to read its usage, where bodies are not sent here anyway.
    pub read_answers: f32,
    /// The request header that names the tenant, instead of the usual ones.
    pub fairness_header: Option<http::HeaderName>,
    /// Admission, where a pool's annotations do not say otherwise.
    pub admission: Settings,
}

/// What the streams of one pool share.
#[derive(Debug)]
pub struct Lane {
    /// Admission.
    pub gate: Gate,
    /// What was learned of the tokens of models that are asked for.
    pub tokens: Tokens,
    /// Counts the tokens of prompts, where tokenizers are configured.
    pub counter: Option<Arc<Counter>>,
    /// Makes spans, where they are exported.
    pub spans: Option<Arc<Spans>>,
    /// Recorded decisions, of all pools.
    pub decisions: Arc<Decisions>,
    /// Counters.
    pub metrics: PoolMetrics,
    /// Counters by model.
    pub models: ModelMetrics,
}

/// The lanes of all pools.
#[derive(Debug)]
pub struct Lanes {
    /// How requests are treated.
    pub policy: Policy,
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    /// Recorded decisions.
    pub decisions: Arc<Decisions>,
    /// Spans, where they are exported.
    pub spans: Option<Arc<Spans>>,
    counter: Option<Arc<Counter>>,
    pools: Pools,
    lanes: RwLock<BTreeMap<String, Arc<Lane>>>,
    /// Rung when a request begins to wait.
    bell: Arc<Notify>,
}

/// A stream that names no pool that is known here; Envoy treats it as a picker that does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPool {
    /// Snapshots have not arrived.
    #[error("the picker has not received its pools yet; it is not ready")]
    NotSynced,
    /// A pool that this picker does not serve.
    #[error("the picker does not serve pool {0:?}; check the name and the picker's --pools")]
    Unknown(String),
    /// No pool was named.
    #[error(
        "the picker serves several pools or none, and the stream names none; send gRPC metadata x-signalbox-pool: \
         namespace/name"
    )]
    Unnamed,
}

impl NoPool {
    /// The named reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotSynced => "not_synced",
            Self::Unknown(_) => "unknown_pool",
            Self::Unnamed => "unnamed_pool",
        }
    }
}

impl Lanes {
    /// Lanes for `pools`.
    pub fn new(pools: Pools, policy: Policy, metrics: Arc<Metrics>) -> Self {
        let epoch = super::now();
        let decisions = Arc::new(Decisions::new(decisions::Settings::default(), epoch));
        let (lanes, bell) = Default::default();
        Self { policy, metrics, decisions, spans: None, counter: None, pools, lanes, bell }
    }

    /// The same, recording decisions as `settings` say.
    #[must_use]
    pub fn recording(self, settings: decisions::Settings) -> Self {
        let epoch = super::now();
        Self { decisions: Arc::new(Decisions::new(settings, epoch)), ..self }
    }

    /// The same, counting tokens with `counter`.
    #[must_use]
    pub fn counting(self, counter: Option<Arc<Counter>>) -> Self {
        Self { counter, ..self }
    }

    /// The same, with spans.
    #[must_use]
    pub fn tracing(self, spans: Option<Arc<Spans>>) -> Self {
        Self { spans, ..self }
    }

    /// The pools.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// The pool that a stream names (`x-signalbox-pool`), or the only one, and its lane.
    pub fn of(&self, named: Option<&str>) -> Result<(Arc<Pool>, Arc<Lane>), NoPool> {
        let pool = match named {
            Some(name) => self.pools.get(name).ok_or_else(|| NoPool::Unknown(name.to_owned())),
            None => self.pools.only().ok_or(NoPool::Unnamed),
        };
        let pool = pool.map_err(|e| if self.pools.is_synced() { e } else { NoPool::NotSynced })?;
        let lane = self.lane(&pool);
        Ok((pool, lane))
    }

    /// Requests in flight by pool.
    pub fn in_flight(&self) -> BTreeMap<String, usize> {
        self.lanes.read().iter().map(|(key, lane)| (key.clone(), lane.gate.in_flight())).collect()
    }

    /// Requests that wait, by pool.
    pub fn waiting(&self) -> BTreeMap<String, usize> {
        self.lanes.read().iter().map(|(key, lane)| (key.clone(), lane.gate.waiting())).collect()
    }

    /// Lets waiting requests go as scrapes and snapshots make room for them, until dropped. Nothing is done while
    /// nobody waits.
    pub async fn tend(&self) {
        loop {
            self.bell.notified().await;
            loop {
                tokio::time::sleep(TICK).await;
                let waiting: Vec<_> = self.all().into_iter().filter(|lane| lane.gate.waiting() > 0).collect();
                if waiting.is_empty() {
                    break;
                }
                let now = super::now();
                waiting.iter().for_each(|lane| lane.gate.tick(now));
            }
        }
    }

    /// Refuses all requests that wait: the picker ends.
    pub fn close(&self) {
        self.all().iter().for_each(|lane| lane.gate.close());
    }

    /// Brings the gauges of the queues up to date, those of pools that are gone included.
    pub fn observe(&self) {
        self.sweep(&mut self.lanes.write());
        // A pool that nobody asked for yet is shown too.
        for pool in self.pools.all() {
            self.lane(&pool);
        }
        let now = super::now();
        self.all().iter().for_each(|lane| lane.gate.observe(now));
    }

    /// Drops the lanes of pools that are gone and have no requests.
    fn sweep(&self, lanes: &mut BTreeMap<String, Arc<Lane>>) {
        lanes.retain(|key, lane| Arc::strong_count(lane) > 1 || self.pools.get(key).is_some());
    }

    fn all(&self) -> Vec<Arc<Lane>> {
        self.lanes.read().values().cloned().collect()
    }

    fn lane(&self, pool: &Arc<Pool>) -> Arc<Lane> {
        let key = pool.key().to_string();
        let known = self.lanes.read().get(&key).cloned();
        known.unwrap_or_else(|| self.open(key, pool))
    }

    fn open(&self, key: String, pool: &Arc<Pool>) -> Arc<Lane> {
        let mut lanes = self.lanes.write();
        self.sweep(&mut lanes);
        let lane = |key: &String| {
            let gate = Gate::new(
                Arc::clone(pool),
                self.policy.admission,
                Arc::clone(&self.bell),
                self.metrics.flow(key),
            );
            let decisions = Arc::clone(&self.decisions);
            let (metrics, models) = (self.metrics.pool(key), self.metrics.models(key));
            let (counter, spans) = (self.counter.clone(), self.spans.clone());
            Lane { gate, tokens: Tokens::default(), counter, spans, decisions, metrics, models }
        };
        Arc::clone(lanes.entry(key).or_insert_with_key(|key| Arc::new(lane(key))))
    }
}

#[cfg(test)]
mod tests {
    use proto::tier::v1;

    use super::*;

    #[test]
    fn a_stream_names_its_pool_unless_there_is_only_one() {
        let pools = Pools::new(std::time::Instant::now());
        let set = |name: &str| {
            let name = v1::PoolName { namespace: "ns".to_owned(), name: name.to_owned() };
            let changed = vec![v1::PoolSnapshot { name: Some(name), ..Default::default() }];
            assert!(
                pools.apply(v1::WatchResponse { changed, synced: true, ..Default::default() }).is_empty()
            );
        };
        let policy = Policy {
            body_limit: 1,
            decision_deadline: Duration::from_secs(1),
            read_answers: 0.0,
            fairness_header: None,
            admission: Settings::default(),
        };
        let lanes = Lanes::new(pools.clone(), policy, Arc::default());
        let reason = |named| lanes.of(named).map(|(pool, _)| pool.key().to_string()).map_err(|e| e.reason());
        assert_eq!(reason(None), Err("not_synced"));
        assert_eq!(reason(Some("ns/a")), Err("not_synced"));
        set("a");
        assert_eq!(reason(None), Ok("ns/a".to_owned()));
        assert_eq!(reason(Some("ns/b")), Err("unknown_pool"));
        set("b");
        assert_eq!(reason(None), Err("unnamed_pool"));
        assert_eq!(reason(Some("ns/b")), Ok("ns/b".to_owned()));
        let (_, lane) = lanes.of(Some("ns/b")).unwrap();
        assert!(Arc::ptr_eq(&lane, &lanes.of(Some("ns/b")).unwrap().1), "one gate per pool");
    }

    #[test]
    fn gauges_come_and_go_with_their_pools() {
        let pools = Pools::new(std::time::Instant::now());
        let name = v1::PoolName { namespace: "ns".to_owned(), name: "a".to_owned() };
        let changed = vec![v1::PoolSnapshot { name: Some(name.clone()), ..Default::default() }];
        pools.apply(v1::WatchResponse { changed, synced: true, ..Default::default() });
        let policy = Policy {
            body_limit: 1,
            decision_deadline: Duration::from_secs(1),
            read_answers: 0.0,
            fairness_header: None,
            admission: Settings::default(),
        };
        let lanes = Lanes::new(pools.clone(), policy, Arc::default());
        for line in [
            r#"signalbox_picker_queue_depth{pool="ns/a"} 0"#,
            r#"signalbox_picker_saturation{pool="ns/a"} 1.0"#,
            r#"llm_d_epp_flow_control_pool_saturation{inference_pool="a",namespace="ns",stage="effective"} 1.0"#,
        ] {
            lanes.observe();
            assert!(
                lanes.metrics.encode().contains(line),
                "a pool that nobody asked for yet is shown: {line}"
            );
        }
        pools.apply(v1::WatchResponse { removed: vec![name], ..Default::default() });
        lanes.observe();
        let text = lanes.metrics.encode();
        assert!(!text.contains("queue_depth{") && !text.contains("saturation{"), "{text}");
    }
}
