//! Keys of blocks, from their tokens: equal on every endpoint, whatever its engine calls them.
//!
//! ```text
//! block 0 ─ xxh3 ─▶ h0   block 1 ─ xxh3 ─▶ h1   …      (each alone, so that a processor hashes several at a time)
//! start ─ chain(h0) ─▶ key 0 ─ chain(h1) ─▶ key 1 …    (a few cycles each)
//! ```

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Keys of one prompt: 131,072 tokens in blocks of 16.
const MAX_KEYS: usize = 8_192;
/// Tokens that are hashed at a time: the usual block.
const PIECE: usize = 16;

/// A prompt whose tokens are known.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenPrompt<'a> {
    /// Token ids; empty when they are not known.
    pub ids: &'a [u32],
    /// The model, which may be an adapter.
    pub model: &'a str,
    /// The cache salt; empty for none.
    pub salt: &'a [u8],
}

/// A chain of keys under construction.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    last: u64,
}

impl Keys {
    /// At the beginning of prompts in blocks of `block_size` tokens, for `adapter` (empty for the base model).
    #[must_use]
    pub fn start(block_size: u32, adapter: &str) -> Self {
        Self { last: xxh3_64_with_seed(adapter.as_bytes(), block_size.into()) }
    }

    /// Behind the block `key`.
    #[must_use]
    pub fn after(key: u64) -> Self {
        Self { last: key }
    }

    /// The key of the next block, of `tokens` and whatever `extra` stands for.
    pub fn next(&mut self, tokens: &[u32], extra: u64) -> u64 {
        self.last = chain(self.last ^ extra, hash(tokens));
        self.last
    }

    /// Puts the keys of all full blocks of `prompt` into `keys`.
    pub(super) fn of(prompt: &TokenPrompt<'_>, block_size: u32, adapter: &str, keys: &mut Vec<u64>) {
        keys.clear();
        let mut chain = Self::start(block_size, adapter);
        let salt = if prompt.salt.is_empty() { 0 } else { extra_of(0, prompt.salt) };
        for (place, block) in prompt.ids.chunks_exact(block_size.max(1) as usize).take(MAX_KEYS).enumerate() {
            // Engines mix the salt into the first block only.
            keys.push(chain.next(block, if place == 0 { salt } else { 0 }));
        }
    }
}

/// The hash of one block alone.
fn hash(tokens: &[u32]) -> u64 {
    let (pieces, rest) = tokens.as_chunks::<PIECE>();
    let mut hash = 0;
    for piece in pieces {
        let mut bytes = [0; 4 * PIECE];
        for (place, token) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(piece) {
            *place = token.to_le_bytes();
        }
        hash = xxh3_64_with_seed(&bytes, hash);
    }
    if !rest.is_empty() {
        let bytes: SmallVec<[u8; 4 * PIECE]> = rest.iter().flat_map(|token| token.to_le_bytes()).collect();
        hash = xxh3_64_with_seed(&bytes, hash);
    }
    hash
}

/// The key of a block of `hash` behind the block `last`. Both are hashes, so they need no more than being mixed in their
/// order; the next block waits for this.
fn chain(last: u64, hash: u64) -> u64 {
    let mixed = (last.rotate_left(29) ^ hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

/// Adds `part` to what a block depends on beside its tokens; 0 is nothing.
#[must_use]
pub fn extra_of(extra: u64, part: &[u8]) -> u64 {
    xxh3_64_with_seed(part, extra).max(1)
}
