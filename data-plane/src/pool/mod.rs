//! Pools: snapshots from the control plane, and live load per endpoint.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use parking_lot::RwLock;

/// Namespace and name of an InferencePool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey(String);

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PoolKey {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s.split_once('/') {
            Some((ns, name)) if !ns.is_empty() && !name.is_empty() => Ok(Self(s.to_owned())),
            _ => Err(format!("{s:?} is not of the form namespace/name")),
        }
    }
}

/// An objective.
#[derive(Debug, Clone, Default)]
pub struct Objective {
    /// Priority.
    pub priority: i32,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A rewrite rule.
#[derive(Debug, Clone, Default)]
pub struct RewriteRule {
    /// Source.
    pub source: String,
    /// Models it applies to; empty: all.
    pub models: Vec<String>,
    /// Targets and weights.
    pub targets: Vec<(String, u32)>,
}

/// A pool's content.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Objectives by name.
    pub objectives: BTreeMap<String, Objective>,
    /// Rewrites in order of precedence.
    pub rewrites: Vec<RewriteRule>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Model to objective.
    pub model_objectives: BTreeMap<String, String>,
    /// Endpoints.
    pub endpoints: Vec<SocketAddr>,
}

/// One pool.
#[derive(Debug)]
pub struct Pool {
    key: PoolKey,
    snapshot: ArcSwap<Snapshot>,
    pub(crate) next: AtomicUsize,
    pub(crate) in_flight: Arc<AtomicUsize>,
}

impl Pool {
    /// The key.
    pub fn key(&self) -> &PoolKey {
        &self.key
    }
    /// The snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }
    /// Requests picked and not ended.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct Inner {
    pools: RwLock<BTreeMap<String, Arc<Pool>>>,
}

/// All pools.
#[derive(Debug, Clone, Default)]
pub struct Pools(Arc<Inner>);

impl Pools {
    /// No pools.
    pub fn new() -> Self {
        Self::default()
    }
    /// Sets a pool.
    pub fn set(&self, key: PoolKey, snapshot: Snapshot) -> Arc<Pool> {
        let pool = Arc::new(Pool {
            key: key.clone(),
            snapshot: ArcSwap::from_pointee(snapshot),
            next: AtomicUsize::new(0),
            in_flight: Arc::default(),
        });
        self.0.pools.write().insert(key.0, Arc::clone(&pool));
        pool
    }
    /// By key.
    pub fn get(&self, key: &str) -> Option<Arc<Pool>> {
        self.0.pools.read().get(key).cloned()
    }
    /// The single pool.
    pub fn only(&self) -> Option<Arc<Pool>> {
        let pools = self.0.pools.read();
        if pools.len() == 1 { pools.values().next().cloned() } else { None }
    }
    /// Whether the control plane has sent all.
    pub fn is_synced(&self) -> bool {
        !self.0.pools.read().is_empty()
    }
    /// All.
    pub fn all(&self) -> Vec<Arc<Pool>> {
        self.0.pools.read().values().cloned().collect()
    }
}
