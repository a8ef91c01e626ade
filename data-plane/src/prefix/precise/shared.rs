//! The precise index of all endpoints of the process.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::super::{Index, Matches};
use super::awaited::Number;
use super::key::{Keys, TokenPrompt};
use super::mirror::Mirror;

/// Blocks that all endpoints together may hold, at most 100 bytes each: a thousand caches of 500,000 tokens.
const LIMIT: usize = 32_000_000;
/// Block sizes in use at the same time; keys are computed for each. Blocks of further sizes are not counted.
const SIZES: usize = 4;
/// Adapters that are told from models. Blocks of further ones are not counted.
const ADAPTERS: usize = 4_096;

/// The index. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Precise(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    held: Index,
    awaited: Index,
    seen: ArcSwap<Seen>,
    /// Held by the one who adds to `seen`.
    adding: Mutex<()>,
}

/// What engines have said so far.
#[derive(Clone, Debug, Default)]
struct Seen {
    sizes: Vec<u32>,
    adapters: BTreeSet<Box<str>>,
}

/// The result of a lookup. Kept between lookups, so that they do not allocate.
#[derive(Debug, Default)]
pub struct Runs {
    held: Matches,
    awaited: Matches,
    /// Keys of the prompt, by block size.
    keys: Vec<(u32, Vec<u64>)>,
    known: bool,
}

impl Default for Precise {
    fn default() -> Self {
        Self::with_limit(LIMIT)
    }
}

impl Precise {
    /// An index in which all endpoints together hold at most `limit` blocks.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self(Arc::new(Inner { held: Index::with_limit(limit), ..Inner::default() }))
    }

    /// A further endpoint, which holds nothing and is not followed. None when there are two million of them.
    #[must_use]
    pub fn mirror(&self) -> Option<Mirror> {
        let index = self.0.held.clone();
        let number = index.reserve()?;
        let number = Arc::new(Number { index, number });
        Some(Mirror::new(self.clone(), number, self.0.awaited.clone()))
    }

    /// Some engine has said something: exact matches are possible.
    #[must_use]
    pub fn in_use(&self) -> bool {
        !self.0.seen.load().sizes.is_empty()
    }

    /// Finds who holds the beginning of `prompt`.
    pub fn lookup(&self, prompt: &TokenPrompt<'_>, runs: &mut Runs) {
        runs.known = false;
        if prompt.ids.is_empty() {
            return;
        }
        let seen = self.0.seen.load();
        runs.held.clear();
        runs.awaited.clear();
        runs.known = true;
        runs.keys.resize_with(seen.sizes.len(), Default::default);
        let adapter = if seen.adapters.contains(prompt.model) { prompt.model } else { "" };
        for (size, (known, keys)) in seen.sizes.iter().zip(&mut runs.keys) {
            *known = *size;
            Keys::of(prompt, *size, adapter, keys);
            self.0.held.find_more(keys, &mut runs.held);
            self.0.awaited.find_more(keys, &mut runs.awaited);
        }
    }

    /// Whether blocks of `size` tokens of `adapter` are counted.
    pub(super) fn counts(&self, size: u32, adapter: &str) -> bool {
        let has = |seen: &Seen| {
            seen.sizes.contains(&size) && (adapter.is_empty() || seen.adapters.contains(adapter))
        };
        if has(&self.0.seen.load()) {
            return true;
        }
        let adding = self.0.adding.lock();
        let mut seen = Seen::clone(&self.0.seen.load());
        if size > 0 && !seen.sizes.contains(&size) && seen.sizes.len() < SIZES {
            seen.sizes.push(size);
        }
        if !adapter.is_empty() && seen.adapters.len() < ADAPTERS {
            seen.adapters.insert(adapter.into());
        }
        let counts = has(&seen);
        self.0.seen.store(Arc::new(seen));
        drop(adding);
        counts
    }
}

impl Runs {
    /// The prompt's tokens are known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Tokens from the start of the prompt that `mirror`'s endpoint holds or computes. 0 when they are not known.
    #[must_use]
    pub fn tokens(&self, mirror: &Mirror) -> u32 {
        if !self.known {
            return 0;
        }
        let number = mirror.number();
        self.held.run(number).max(self.awaited.run(number)) * mirror.block_size()
    }

    /// Keys of the prompt's blocks of `size` tokens.
    pub(crate) fn keys(&self, size: u32) -> &[u64] {
        let of_size = self.keys.iter().find(|(known, _)| self.known && *known == size);
        of_size.map_or(&[], |(_, keys)| keys)
    }
}
