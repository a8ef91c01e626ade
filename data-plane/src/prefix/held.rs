//! What one endpoint holds, and how far that is to be believed.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;

use super::index::Index;
use super::lru::Lru;

/// KV cache of an endpoint that does not tell its size, in tokens: that of an 80 GB device with an 8B model.
const USUAL_TOKENS: u64 = 500_000;
/// Tokens of a block, before anything was recorded.
const USUAL_BLOCK_TOKENS: f32 = 64.0;
/// Reported tokens that are fewer than expected by no more than this are as expected: blocks do not fall together with
/// the engine's.
const TOLERANCE: u32 = 128;
/// The capacity that is believed falls by this factor with each disappointment, and rises by that step otherwise.
const SHRINK: f32 = 0.9;
const GROW: f32 = 0.01;
const LEAST_CAPACITY: f32 = 1.0 / 16.0;
/// How far one report moves the share of blocks that are really cached.
const ALPHA: f32 = 1.0 / 16.0;
/// Tokens that an engine stored over which its share of prompts sent from here is taken, and the fewest that say anything.
const WINDOW: f32 = 200_000.0;
const LEAST_STORED: f32 = 20_000.0;

/// The blocks of one endpoint. Dropping it takes them out of the index.
#[derive(Debug)]
pub struct Held {
    index: Index,
    number: u32,
    /// Order of use. Held while blocks are recorded: 20 to 50 us for a prompt of 64 KB, never over an await.
    blocks: Mutex<Blocks>,
    /// Share of its KV cache that holds prompts.
    capacity: AtomicU32,
    /// Share of the blocks that it holds here that it really has.
    yields: AtomicU32,
}

#[derive(Debug)]
struct Blocks {
    lru: Lru,
    /// Mean tokens of a block.
    tokens: f32,
    /// Tokens that came by prompts sent from here, and those that the engine says it stored, of late.
    sent: f32,
    stored: f32,
}

impl Blocks {
    /// Share of what the engine stores that is known here. The rest, answers and prompts of others, evicts it just so.
    fn known(&self) -> f32 {
        if self.stored < LEAST_STORED { 1.0 } else { (self.sent / self.stored).clamp(LEAST_CAPACITY, 1.0) }
    }
}

impl Default for Blocks {
    fn default() -> Self {
        Self { lru: Lru::default(), tokens: USUAL_BLOCK_TOKENS, sent: 0.0, stored: 0.0 }
    }
}

impl Held {
    pub(super) fn new(index: Index, number: u32) -> Self {
        let one = || AtomicU32::new(1.0_f32.to_bits());
        Self { index, number, blocks: Mutex::default(), capacity: one(), yields: one() }
    }

    /// The endpoint's number in [`Matches`](super::Matches).
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Blocks held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.lock().lru.len()
    }

    /// Nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A prompt of `chain`, of `block_tokens` tokens each, was sent to the endpoint, whose KV cache has `kv_tokens`.
    /// The least recently used blocks beyond its capacity go.
    pub fn record(&self, chain: &[u64], block_tokens: f32, kv_tokens: Option<u64>) {
        if chain.is_empty() {
            return;
        }
        let mut held = self.blocks.lock();
        let share = load(&self.capacity) * held.known();
        let Blocks { lru, tokens, sent, stored } = &mut *held;
        let room = kv_tokens.unwrap_or(USUAL_TOKENS) as f32 * share / *tokens;
        let capacity = (room as usize).min(self.index.share()).max(1);
        let chain = &chain[..chain.len().min(capacity)];
        // What is held of a chain is its beginning, so all that is added is behind what was there.
        let mut known = chain.len();
        for (place, hash) in chain.iter().enumerate().rev() {
            if !lru.touch(*hash) {
                known = place;
            }
        }
        let added = (chain.len() - known) as f32;
        if *stored > 0.0 {
            *sent += added * block_tokens;
        }
        *tokens += (block_tokens.clamp(1.0, 1024.0) - *tokens) * added / lru.len() as f32;
        chain[known..].iter().for_each(|hash| self.index.add(*hash, self.number));
        while lru.len() > capacity
            && let Some(hash) = lru.evict()
        {
            self.index.remove(hash, self.number);
        }
    }

    /// The blocks that are held, at most `most` of them, from the most recently used on; and their mean tokens. Recording
    /// them elsewhere, in this order, makes that hold the same.
    #[must_use]
    pub fn known(&self, most: usize) -> (Vec<u64>, f32) {
        let held = self.blocks.lock();
        (held.lru.newest_first().take(most).collect(), held.tokens)
    }

    /// The engine says that it stored `tokens` in its cache.
    pub fn stored(&self, tokens: u64) {
        let mut held = self.blocks.lock();
        held.stored += tokens as f32;
        if held.stored > WINDOW {
            held.stored /= 2.0;
            held.sent /= 2.0;
        }
    }

    /// The endpoint holds nothing any more: it was restarted.
    pub fn clear(&self) {
        let mut held = self.blocks.lock();
        while let Some(hash) = held.lru.evict() {
            self.index.remove(hash, self.number);
        }
        *held = Blocks::default();
        self.capacity.store(1.0_f32.to_bits(), Relaxed);
        self.yields.store(1.0_f32.to_bits(), Relaxed);
    }

    /// A request for which `expected` tokens were held here had `reported` tokens in the endpoint's cache.
    /// Concurrent updates may lose one another; these are averages.
    pub fn learn(&self, expected: u32, reported: u32) {
        if expected == 0 {
            return;
        }
        let capacity = load(&self.capacity);
        let next = if reported.saturating_add(TOLERANCE) < expected {
            (capacity * SHRINK).max(LEAST_CAPACITY)
        } else {
            (capacity + GROW).min(1.0)
        };
        self.capacity.store(next.to_bits(), Relaxed);
        let yields = self.yields();
        let as_expected = reported.saturating_add(TOLERANCE) >= expected;
        let seen = if as_expected { 1.0 } else { reported as f32 / expected as f32 };
        self.yields.store((yields + (seen - yields) * ALPHA).to_bits(), Relaxed);
    }

    /// Share (0..=1) of what is held here that the endpoint is seen to have in its cache.
    #[must_use]
    pub fn yields(&self) -> f32 {
        load(&self.yields)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.clear();
        self.index.release(self.number);
    }
}

fn load(share: &AtomicU32) -> f32 {
    f32::from_bits(share.load(Relaxed))
}
