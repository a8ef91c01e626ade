//! Who holds which block, for all endpoints of the process.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::{Mutex, RwLock};

use super::held::Held;
use super::holders::{NUMBERS, Shard};
use super::matches::Matches;

const SHARDS: usize = 64;
/// Blocks that all endpoints together may hold unless told otherwise: at most 100 bytes each.
const LIMIT: usize = 10_000_000;

/// The index. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Index(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// By bits of the hash that the tables in them do not use first. Each lock is held for one block.
    shards: Box<[RwLock<Shard>]>,
    numbers: Mutex<Numbers>,
    endpoints: AtomicUsize,
    limit: usize,
}

/// Numbers of endpoints: small, so that they index arrays.
#[derive(Debug, Default)]
struct Numbers {
    next: u32,
    free: BTreeSet<u32>,
}

impl Default for Index {
    fn default() -> Self {
        Self::with_limit(LIMIT)
    }
}

impl Index {
    /// An index in which all endpoints together hold at most `limit` blocks; each may have its equal share.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self(Arc::new(Inner {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            numbers: Mutex::default(),
            endpoints: AtomicUsize::new(0),
            limit,
        }))
    }

    /// What a further endpoint holds: nothing. None when there are two million of them.
    #[must_use]
    pub fn register(&self) -> Option<Held> {
        Some(Held::new(self.clone(), self.reserve()?))
    }

    /// A number under which nothing is held, until it is [released](Self::release).
    pub(super) fn reserve(&self) -> Option<u32> {
        let mut numbers = self.0.numbers.lock();
        let number = numbers.free.pop_first().or_else(|| {
            let number = numbers.next;
            numbers.next += u32::from(number < NUMBERS);
            (number < NUMBERS).then_some(number)
        })?;
        self.0.endpoints.fetch_add(1, Relaxed);
        Some(number)
    }

    /// Finds who holds the beginning of `blocks`.
    pub fn lookup(&self, blocks: &[u64], matches: &mut Matches) {
        matches.clear();
        self.find_more(blocks, matches);
    }

    /// Adds those who hold the beginning of `blocks` to `matches`; they hold nothing else of it.
    pub(super) fn find_more(&self, blocks: &[u64], matches: &mut Matches) {
        let mut at = 0;
        while let Some(count) = blocks.get(at).map(|hash| self.count(*hash)).filter(|count| *count > 0) {
            let last = self.last_with(blocks, at, count);
            let hash = blocks[last];
            self.shard(hash).read().each(hash, |number| matches.set(number, last + 1));
            at = last + 1;
        }
    }

    /// The last position from `at` that has as many holders as `at`: steps that double, then halve.
    fn last_with(&self, blocks: &[u64], at: usize, count: usize) -> usize {
        let held = |place: usize| self.count(blocks[place]) >= count;
        let (mut inside, mut step) = (at, 1);
        let mut outside = loop {
            let place = (inside + step).min(blocks.len() - 1);
            if place == inside {
                return inside;
            }
            if !held(place) {
                break place;
            }
            (inside, step) = (place, step * 2);
        };
        while outside - inside > 1 {
            let middle = inside.midpoint(outside);
            if held(middle) { inside = middle } else { outside = middle }
        }
        inside
    }

    fn count(&self, hash: u64) -> usize {
        self.shard(hash).read().count(hash)
    }

    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        &self.0.shards[(hash >> 40) as usize % SHARDS]
    }

    /// Blocks that one endpoint may hold.
    pub(super) fn share(&self) -> usize {
        self.0.limit / self.0.endpoints.load(Relaxed).max(1)
    }

    pub(super) fn add(&self, hash: u64, number: u32) {
        self.shard(hash).write().add(hash, number);
    }

    pub(super) fn remove(&self, hash: u64, number: u32) {
        self.shard(hash).write().remove(hash, number);
    }

    /// The number may be another endpoint's; nothing is held under it.
    pub(super) fn release(&self, number: u32) {
        self.0.endpoints.fetch_sub(1, Relaxed);
        self.0.numbers.lock().free.insert(number);
    }
}
