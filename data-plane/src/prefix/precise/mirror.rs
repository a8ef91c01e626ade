//! What one endpoint's events say that it holds, and how far that is all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;

use super::super::Index;
use super::awaited::{Awaited, Coming, Number};
use super::event::{Event, Medium};
use super::shared::Precise;
use super::tree::Tree;

/// How far an endpoint's mirror is its cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Trust {
    /// Events do not come: what is mirrored may be wrong.
    #[default]
    Off,
    /// What is mirrored is held; there may be more, from before events were heard.
    Partial,
    /// What is mirrored is held, and nothing else.
    Complete,
}

/// What some events came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Events that were applied.
    pub events: u64,
    /// Tokens that came to the accelerator's memory, those of dropped blocks included.
    pub stored_tokens: u64,
    /// Blocks that could not be placed: what they follow is not known, their size or adapter is one too many, or there is
    /// no room.
    pub dropped: u64,
    /// The engine's cache was emptied.
    pub cleared: bool,
}

/// The blocks of one endpoint. Dropping it takes them out of the index.
#[derive(Debug)]
pub struct Mirror {
    shared: Precise,
    number: Arc<Number>,
    awaited: Arc<Awaited>,
    /// Written by the one who follows the endpoint's events; held for one event, never over an await.
    tree: Mutex<Tree>,
    trust: AtomicU8,
    block_size: AtomicU32,
}

impl Mirror {
    pub(super) fn new(shared: Precise, number: Arc<Number>, awaited: Index) -> Self {
        Self {
            shared,
            awaited: Arc::new(Awaited::new(Arc::clone(&number), awaited)),
            number,
            tree: Mutex::default(),
            trust: AtomicU8::new(Trust::Off as u8),
            block_size: AtomicU32::new(0),
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.number.number
    }

    /// Tokens of its engine's blocks; 0 before the first.
    #[must_use]
    pub fn block_size(&self) -> u32 {
        self.block_size.load(Relaxed)
    }

    /// How far it is the endpoint's cache.
    #[must_use]
    pub fn trust(&self) -> Trust {
        match self.trust.load(Relaxed) {
            2 => Trust::Complete,
            1 => Trust::Partial,
            _ => Trust::Off,
        }
    }

    /// The mirror is to be trusted that far.
    pub fn set_trust(&self, trust: Trust) {
        self.trust.store(trust as u8, Relaxed);
    }

    /// Blocks held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tree.lock().held()
    }

    /// Nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in what the engine tells, in its order.
    pub fn apply(&self, events: &[Event]) -> Applied {
        let mut applied = Applied::default();
        for event in events {
            applied.events += 1;
            match event {
                Event::Stored(stored) => {
                    let size = self.block_size();
                    // One size an endpoint: further groups of hybrid models do not count.
                    let counts = stored.tokens.is_empty()
                        || (size == 0 || size == stored.block_size)
                            && self.shared.counts(stored.block_size, &stored.adapter);
                    if !counts {
                        applied.dropped += stored.hashes.len() as u64;
                        continue;
                    }
                    if !stored.tokens.is_empty() {
                        self.block_size.store(stored.block_size, Relaxed);
                    }
                    let room = self.number.index.share();
                    let (placed, dropped) = self.tree.lock().store(stored, room, &self.number);
                    if stored.medium == Medium::Gpu {
                        applied.stored_tokens += (placed + dropped) * u64::from(stored.block_size);
                    }
                    applied.dropped += dropped;
                }
                Event::Removed { hashes, medium } => {
                    self.tree.lock().remove(hashes, *medium, &self.number);
                }
                Event::Cleared => {
                    self.clear();
                    applied.cleared = true;
                }
            }
        }
        applied
    }

    /// Nothing is held any more.
    pub fn clear(&self) {
        self.tree.lock().clear(&self.number);
    }

    /// A prompt of these keys is sent to the endpoint.
    pub(crate) fn expect(&self, keys: &[u64]) -> Coming {
        self.awaited.expect(keys)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.clear();
    }
}
