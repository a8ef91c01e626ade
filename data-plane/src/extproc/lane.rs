//! Lanes: what all streams of one pool share, and which pool a stream belongs to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use crate::flow::{Gate, Limits};
use crate::metrics::{Metrics, PoolMetrics};
use crate::pool::{Pool, Pools};
use crate::request::tokens::Tokens;

/// How requests are treated, the same for all pools.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Largest request body in bytes.
    pub body_limit: usize,
    /// From the end of a request to its decision.
    pub decision_deadline: Duration,
    /// Share (0..=1) of answers whose body is asked for to read its usage, where bodies are not sent here anyway.
    pub read_answers: f32,
    /// Admission, per pool.
    pub limits: Limits,
}

/// What the streams of one pool share.
#[derive(Debug)]
pub struct Lane {
    /// Admission.
    pub gate: Gate,
    /// Bytes per token of the models that are asked for.
    pub tokens: Tokens,
    /// Counters.
    pub metrics: PoolMetrics,
}

/// The lanes of all pools.
#[derive(Debug)]
pub struct Lanes {
    /// How requests are treated.
    pub policy: Policy,
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    pools: Pools,
    lanes: RwLock<BTreeMap<String, Arc<Lane>>>,
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
            Self::NotSynced => "not-synced",
            Self::Unknown(_) => "unknown-pool",
            Self::Unnamed => "unnamed-pool",
        }
    }
}

impl Lanes {
    /// Lanes for `pools`.
    pub fn new(pools: Pools, policy: Policy, metrics: Arc<Metrics>) -> Self {
        Self { policy, metrics, pools, lanes: RwLock::default() }
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
        let key = pool.key().to_string();
        let known = self.lanes.read().get(&key).cloned();
        let lane = known.unwrap_or_else(|| self.open(key));
        Ok((pool, lane))
    }

    /// Requests in flight by pool.
    pub fn in_flight(&self) -> BTreeMap<String, usize> {
        self.lanes.read().iter().map(|(key, lane)| (key.clone(), lane.gate.in_flight())).collect()
    }

    fn open(&self, key: String) -> Arc<Lane> {
        let mut lanes = self.lanes.write();
        lanes.retain(|key, lane| Arc::strong_count(lane) > 1 || self.pools.get(key).is_some());
        let lane = |key: &String| Lane {
            gate: Gate::new(self.policy.limits),
            tokens: Tokens::default(),
            metrics: self.metrics.pool(key),
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
        let limits = Limits { max_in_flight: 9, sheddable_in_flight: 9 };
        let policy =
            Policy { body_limit: 1, read_answers: 0.0, decision_deadline: Duration::from_secs(1), limits };
        let lanes = Lanes::new(pools.clone(), policy, Arc::default());
        let reason = |named| lanes.of(named).map(|(pool, _)| pool.key().to_string()).map_err(|e| e.reason());
        assert_eq!(reason(None), Err("not-synced"));
        assert_eq!(reason(Some("ns/a")), Err("not-synced"));
        set("a");
        assert_eq!(reason(None), Ok("ns/a".to_owned()));
        assert_eq!(reason(Some("ns/b")), Err("unknown-pool"));
        set("b");
        assert_eq!(reason(None), Err("unnamed-pool"));
        assert_eq!(reason(Some("ns/b")), Ok("ns/b".to_owned()));
        let (_, lane) = lanes.of(Some("ns/b")).unwrap();
        assert!(Arc::ptr_eq(&lane, &lanes.of(Some("ns/b")).unwrap().1), "one gate per pool");
    }
}
