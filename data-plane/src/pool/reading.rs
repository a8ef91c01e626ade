//! What a scrape told about an endpoint, and how much it may be trusted.

use std::time::Duration;

use crate::accelerator::Totals;

/// One scrape, aggregated over an endpoint's series. `None` is a metric that the model server does not show, or showed
/// with a value that means nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Requests being computed.
    pub running: Option<u32>,
    /// Requests waiting in the model server.
    pub waiting: Option<u32>,
    /// Share of the KV cache in use, 0..=1.
    pub kv_usage: Option<f32>,
    /// Size of the KV cache in tokens, of all data-parallel ranks behind the port together.
    pub kv_tokens: Option<u64>,
    /// The same of the largest rank: a request has to fit into one.
    pub kv_largest: Option<u64>,
    /// Tokens of a block of it.
    pub kv_block: Option<u32>,
    /// LoRA adapters that run or wait.
    pub adapters: Option<Adapters>,
    /// What it counted since it started.
    pub totals: Totals,
}

impl Reading {
    /// Whether it says anything about load.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let loads = Self { totals: Totals::default(), ..self.clone() };
        loads == Self::default()
    }
}

/// LoRA adapters of an endpoint, as hashes of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adapters {
    /// Adapters that may be loaded at once; 0 when unknown.
    pub max: u32,
    /// Adapters of running requests, sorted.
    pub running: Vec<u64>,
    /// Adapters of waiting requests, sorted.
    pub waiting: Vec<u64>,
}

impl Adapters {
    /// The hash that stands for an adapter's name.
    #[must_use]
    pub fn hash(name: &[u8]) -> u64 {
        xxhash_rust::xxh3::xxh3_64(name)
    }

    /// Whether requests of `adapter` (a [`hash`](Self::hash)) run here.
    #[must_use]
    pub fn runs(&self, adapter: u64) -> bool {
        self.running.binary_search(&adapter).is_ok()
    }

    /// Whether requests of `adapter` wait here, so that it is loaded next.
    #[must_use]
    pub fn awaits(&self, adapter: u64) -> bool {
        self.waiting.binary_search(&adapter).is_ok()
    }

    /// Whether one more adapter fits without another's end.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let held = self.running.len() + self.waiting.iter().filter(|id| !self.runs(**id)).count();
        self.max == 0 || held < self.max as usize
    }
}

/// How much the last reading of an endpoint says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Recent enough to correct our own counters.
    Fresh,
    /// Too old for load; holds its age.
    Stale(Duration),
    /// Nothing was read yet, and nothing failed.
    Never,
    /// This many connections or requests in a row failed: the endpoint is avoided while others do not fail.
    Failing(u32),
}
