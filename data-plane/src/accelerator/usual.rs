//! How many tokens requests of a model usually generate.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The mean of published conversation traces is 211 (Azure 2023).
const FIRST: f32 = 200.0;
/// Requests over which the mean is taken.
const MEMORY: f32 = 128.0;
/// The first requests count for more: as if [`FIRST`] had been seen in this many.
const PRIOR: f32 = 4.0;

/// A running mean. Concurrent updates may lose one another; it is an average.
#[derive(Debug)]
pub struct Usual {
    mean: AtomicU32,
    seen: AtomicU32,
}

impl Default for Usual {
    fn default() -> Self {
        Self { mean: AtomicU32::new(FIRST.to_bits()), seen: AtomicU32::new(PRIOR.to_bits()) }
    }
}

impl Usual {
    /// Tokens of a request that does not limit them further.
    #[must_use]
    pub fn output(&self) -> f32 {
        f32::from_bits(self.mean.load(Relaxed))
    }

    /// `count` requests ended after `tokens` on average.
    pub(super) fn saw(&self, tokens: f32, count: f32) {
        if !(tokens.is_finite() && (0.0..=1e6).contains(&tokens) && count > 0.0) {
            return;
        }
        let seen = (f32::from_bits(self.seen.load(Relaxed)) + count).min(MEMORY);
        let mean = self.output();
        let next = mean + (tokens - mean) * (count / seen).min(1.0);
        self.seen.store(seen.to_bits(), Relaxed);
        self.mean.store(next.max(1.0).to_bits(), Relaxed);
    }
}
