//! Prefix blocks of prompts.
//!
//! ```text
//! model, cache salt ─ seed ─▶ H0    prompt: |256 bytes|256 bytes|…    Hn = xxh3(block n, seeded by Hn-1)
//! ```
//! Equal hashes at position n mean equal prompts up to there, for the same model and salt.

mod chain;

pub use chain::{BLOCK, Chain, MAX_BLOCKS};
