//! All pools of the process. Readers take what is there without a lock; one writer at a time replaces it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use proto::tier::v1::{KnownPool, PoolName, WatchResponse};
use tokio::sync::{SetOnce, broadcast};

use crate::accelerator::Book;

use super::board::Board;
use super::decode;
use super::key::PoolKey;
use super::sent::Sent;
use super::slot::Slot;
use super::snapshot::Snapshot;
use crate::prefix::Index;
use crate::prefix::precise::Precise;

/// The pools that this process serves. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Pools(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    board: Arc<Board>,
    book: Book,
    pools: ArcSwap<BTreeMap<PoolKey, Arc<Pool>>>,
    /// Pools that were removed while requests held them: one that returns is the same pool. Held by writers over the
    /// whole of an `apply`, which is how writers exclude one another.
    removed: Mutex<BTreeMap<PoolKey, Weak<Pool>>>,
    synced: SetOnce<()>,
    generation: AtomicU64,
}

/// One pool: the latest good snapshot under a name that stays.
#[derive(Debug)]
pub struct Pool {
    key: PoolKey,
    snapshot: ArcSwap<Snapshot>,
    board: Arc<Board>,
    counters: PoolCounters,
}

/// What happened in a pool since it is known.
#[derive(Debug, Default)]
pub struct PoolCounters {
    /// Requests that got an endpoint.
    pub picks: AtomicU64,
    /// Picks that were made again because another took the endpoint at the same moment.
    pub repicks: AtomicU64,
    /// Requests that Envoy sent elsewhere than picked.
    pub moved: AtomicU64,
    /// Requests that Envoy sent to an address that is not known.
    pub moved_unknown: AtomicU64,
    /// Requests that ended with an error of the endpoint.
    pub failed: AtomicU64,
}

impl Pool {
    fn new(key: PoolKey, board: Arc<Board>) -> Self {
        Self { key, snapshot: ArcSwap::default(), board, counters: PoolCounters::default() }
    }

    #[cfg(test)]
    pub(crate) fn of(snapshot: Snapshot) -> Arc<Self> {
        let pool = Self::new("ns/test".parse().expect("a key"), Arc::new(Board::new(Instant::now())));
        pool.snapshot.store(Arc::new(snapshot));
        Arc::new(pool)
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> &PoolKey {
        &self.key
    }

    /// The latest good snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The latest good snapshot, for the length of a pick.
    pub(crate) fn peek(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// The prompts that its endpoints were sent.
    pub(crate) fn prefixes(&self) -> &Index {
        &self.board.prefixes
    }

    /// The blocks that its endpoints' engines say they hold.
    pub(crate) fn precise(&self) -> &Precise {
        &self.board.precise
    }

    /// The endpoint at `address` was sent a prompt of these blocks.
    pub(crate) fn tell_sent(&self, address: SocketAddr, blocks: &Arc<Vec<u64>>, block_tokens: f32) {
        if !blocks.is_empty() {
            self.board.sent.push(|| Sent { address, blocks: Arc::clone(blocks), block_tokens });
        }
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> &PoolCounters {
        &self.counters
    }

    /// The slot of `address`: of this snapshot, or of any endpoint that still has requests.
    pub(crate) fn slot(&self, address: SocketAddr) -> Option<Arc<Slot>> {
        let snapshot = self.peek();
        match snapshot.find(address) {
            Some(index) => Some(Arc::clone(&snapshot.endpoint(index).slot)),
            None => self.board.find(address),
        }
    }
}

impl Pools {
    /// No pools yet. `epoch` is the time from which live numbers count.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        Self::with_book(epoch, Book::new(epoch))
    }

    /// No pools yet, whose endpoints' speeds are kept in `book`.
    #[must_use]
    pub fn with_book(epoch: Instant, book: Book) -> Self {
        Self(Arc::new(Inner {
            book,
            board: Arc::new(Board::new(epoch)),
            pools: ArcSwap::default(),
            removed: Mutex::default(),
            synced: SetOnce::new(),
            generation: AtomicU64::new(0),
        }))
    }

    /// What is learned about speeds.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.0.book
    }

    /// The pool called `key` ("namespace/name").
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Arc<Pool>> {
        self.0.pools.load().get(key).cloned()
    }

    /// The pool, when there is exactly one.
    #[must_use]
    pub fn only(&self) -> Option<Arc<Pool>> {
        let pools = self.0.pools.load();
        let mut values = pools.values();
        match (values.next(), values.next()) {
            (Some(pool), None) => Some(Arc::clone(pool)),
            _ => None,
        }
    }

    /// Every pool, by key.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Pool>> {
        self.0.pools.load().values().cloned().collect()
    }

    /// Whether all pools that exist were received once. Stays true: outages keep the last good pools.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.0.synced.initialized()
    }

    /// Returns when [`is_synced`](Self::is_synced) is true.
    pub(crate) async fn synced(&self) {
        self.0.synced.wait().await;
    }

    /// Changes with every change of a pool; for those who derive something from all of them.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// The prompts that endpoints are sent from here on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Sent> {
        self.0.board.sent.listen()
    }

    /// The slot of `address`, if it is an endpoint of any pool, or was one and still has requests.
    pub(crate) fn slot(&self, address: SocketAddr) -> Option<Arc<Slot>> {
        self.0.board.find(address)
    }

    /// What is held, as a reconnecting client tells it.
    #[must_use]
    pub fn known(&self) -> Vec<KnownPool> {
        let known = |(key, pool): (&PoolKey, &Arc<Pool>)| KnownPool {
            name: Some(PoolName { namespace: key.namespace().to_owned(), name: key.name().to_owned() }),
            revision: pool.peek().revision,
        };
        self.0.pools.load().iter().map(known).collect()
    }

    /// Takes in what the control plane sent. Answers what could not be used; the rest is used all the same.
    pub fn apply(&self, response: WatchResponse) -> Vec<String> {
        let mut problems = Vec::new();
        let mut removed = self.0.removed.lock();
        let mut pools = BTreeMap::clone(&self.0.pools.load());
        for name in &response.removed {
            match decode::key(Some(name)) {
                Ok(key) => {
                    if let Some(pool) = pools.remove(&key) {
                        removed.insert(key, Arc::downgrade(&pool));
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
        for changed in response.changed {
            match decode::key(changed.name.as_ref()) {
                Ok(key) => {
                    let back = || removed.get(&key).and_then(Weak::upgrade);
                    let fresh = || Arc::new(Pool::new(key.clone(), Arc::clone(&self.0.board)));
                    let pool = pools.entry(key.clone()).or_insert_with(|| back().unwrap_or_else(fresh));
                    let next = decode::snapshot(
                        &key,
                        changed,
                        (&self.0.board, &self.0.book),
                        &pool.peek(),
                        &mut problems,
                    );
                    pool.snapshot.store(Arc::new(next));
                }
                Err(problem) => problems.push(problem),
            }
        }
        removed.retain(|key, pool| !pools.contains_key(key) && pool.strong_count() > 0);
        self.0.pools.store(Arc::new(pools));
        self.0.board.sweep();
        if response.synced {
            // Later responses say so too.
            let _again = self.0.synced.set(());
        }
        self.0.generation.fetch_add(1, Ordering::AcqRel);
        problems
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.0.board.len()
    }
}
