//! Which endpoints hold how much of a prompt in their KV caches: an approximation from what was sent where.
//!
//! ```text
//! model, adapter, salt ─ seed ─▶ H0   prompt: |256 bytes|256 bytes|…   Hn = xxh3(block n, seeded by Hn-1)
//!
//! lookup(H0..Hn) ─▶ Index (64 shards: hash → holders) ─▶ Matches (endpoint → leading blocks held)
//! pick ─ record ─▶ Held of the endpoint (LRU of hashes, as large as its KV cache) ─ added, evicted ─▶ Index
//! usage ─ learn ─▶ Held (how much of what it should hold it really did)
//! ```
//! Equal hashes at position n mean equal prompts up to there, for the same model, adapter and salt.
//!
//! Blocks of one prompt are touched from the last to the first, so an endpoint's least recent block is always the tail
//! of a chain, and what an endpoint holds of a chain is always its beginning. Two things follow: the number of holders
//! never grows along a chain, so a lookup searches for the few places where it falls instead of visiting each block;
//! and a gap cannot be counted as held.
//!
//! The map is a `hashbrown::HashTable` of 16-byte entries under one lock per shard; up to three holders are packed into
//! 8 bytes, more are a sorted list. Figures of `benches/prefix.rs` with 10 million blocks of 100 endpoints, CPU time, two
//! busy cores: 53 bytes a block. A prompt of 64 KB (256 blocks): 9 us to hash, 3 us to look up
//! cold (4 us when half of it is held), 42 us to record again, 283 us to record anew while as many blocks are evicted.
//! Asking a map for each of the 256 blocks instead takes 25 us (`HashMap`, hashes as they are) or 288 us (`BTreeMap`).

mod chain;
mod held;
mod holders;
mod index;
mod lru;
mod matches;
pub mod precise;
mod slab;
#[cfg(test)]
mod tests;

pub use chain::{BLOCK, Chain, MAX_BLOCKS};
pub use held::Held;
pub use index::Index;
pub use matches::Matches;
