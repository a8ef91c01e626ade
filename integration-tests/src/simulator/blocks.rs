//! The KV cache: which blocks are held by sequences, which finished ones wait for a later prompt, which are evicted.
//!
//! ```text
//! reserve ─▶ private blocks ─ filled ─▶ cached under the chain's hash, shared ─ release ─▶ idle, evicted tail first
//!     ▲                                                                                    │
//!     └──────────────────────────── a prompt with the same beginning ─────────────────────┘
//! ```

use std::collections::{BTreeMap, HashMap};

use xxhash_rust::xxh3::Xxh3;

use super::tokens::Token;

/// Blocks of one engine.
#[derive(Debug)]
pub struct Blocks {
    size: usize,
    total: usize,
    caching: bool,
    private: usize,
    cached: HashMap<u64, Cached>,
    /// Cached blocks that no sequence holds, oldest first.
    idle: BTreeMap<u64, u64>,
    clock: u64,
    /// Tokens looked up in the cache.
    pub queries: u64,
    /// Tokens of them that were found.
    pub hits: u64,
}

#[derive(Debug)]
struct Cached {
    holders: usize,
    stamp: u64,
}

/// The blocks that one sequence holds. Give it back with [`Blocks::release`].
#[derive(Debug, Default)]
#[must_use = "blocks that are not released stay taken"]
pub struct Held {
    shared: Vec<u64>,
    private: usize,
    /// Full blocks that have been offered to the cache.
    published: usize,
}

impl Blocks {
    /// An empty cache of `total` blocks of `size` tokens; with `caching` off, prompts never share blocks.
    pub fn new(total: usize, size: usize, caching: bool) -> Self {
        Self {
            size,
            total,
            caching,
            private: 0,
            cached: HashMap::new(),
            idle: BTreeMap::new(),
            clock: 0,
            queries: 0,
            hits: 0,
        }
    }

    /// The chain of a token sequence: one hash for each full block, which covers all tokens before it too. `salt`
    /// separates adapters and tenants.
    pub fn chain(&self, tokens: &[Token], salt: u64) -> Vec<u64> {
        let mut chain = Vec::with_capacity(tokens.len() / self.size);
        for block in tokens.chunks_exact(self.size) {
            chain.push(link(chain.last().copied().unwrap_or(salt), block));
        }
        chain
    }

    /// Takes the blocks of a sequence of `tokens` tokens; returns them and how many tokens are computed already. At
    /// least one token is always left to compute. `None` when they do not fit at present.
    pub fn reserve(&mut self, chain: &[u64], tokens: usize) -> Option<(Held, usize)> {
        let usable = if self.caching { chain.len().min(tokens.saturating_sub(1) / self.size) } else { 0 };
        let found = chain[..usable].iter().take_while(|hash| self.cached.contains_key(hash)).count();
        let revived = chain[..found].iter().filter(|hash| self.cached[*hash].holders == 0).count();
        let needed = tokens.div_ceil(self.size) - found;
        if self.used() + revived + needed > self.total {
            return None;
        }
        for hash in &chain[..found] {
            let block = self.cached.get_mut(hash).expect("counted above");
            if block.holders == 0 {
                self.idle.remove(&block.stamp);
            }
            block.holders += 1;
        }
        self.queries += tokens as u64;
        self.hits += (found * self.size) as u64;
        self.take_private(needed);
        Some((Held { shared: chain[..found].to_vec(), private: needed, published: found }, found * self.size))
    }

    /// Makes room for a sequence to be `tokens` tokens long. `false` when no block is free.
    pub fn grow(&mut self, held: &mut Held, tokens: usize) -> bool {
        let needed = tokens.div_ceil(self.size).saturating_sub(held.shared.len() + held.private);
        if self.used() + needed > self.total {
            return false;
        }
        self.take_private(needed);
        held.private += needed;
        true
    }

    /// Offers blocks to the cache that have been filled: `computed` tokens of the sequence with this chain.
    pub fn publish(&mut self, held: &mut Held, chain: &[u64], computed: usize) {
        let full = (computed / self.size).min(chain.len());
        if !self.caching {
            return;
        }
        for hash in chain.iter().take(full).skip(held.published) {
            // A block that another sequence has filled at the same time stays this one's own.
            if !self.cached.contains_key(hash) {
                self.cached.insert(*hash, Cached { holders: 1, stamp: 0 });
                self.private -= 1;
                held.private -= 1;
                held.shared.push(*hash);
            }
        }
        held.published = held.published.max(full);
    }

    /// Gives blocks back. Shared ones stay for later prompts; the end of a prompt is evicted before its beginning.
    pub fn release(&mut self, held: &mut Held) {
        self.private -= std::mem::take(&mut held.private);
        for hash in std::mem::take(&mut held.shared).into_iter().rev() {
            let block = self.cached.get_mut(&hash).expect("a held block is cached");
            block.holders -= 1;
            if block.holders == 0 {
                self.clock += 1;
                block.stamp = self.clock;
                self.idle.insert(self.clock, hash);
            }
        }
        held.published = 0;
    }

    /// Blocks held by sequences.
    pub fn used(&self) -> usize {
        self.private + self.cached.len() - self.idle.len()
    }

    /// All blocks.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Tokens of a block.
    pub fn size(&self) -> usize {
        self.size
    }

    fn take_private(&mut self, count: usize) {
        self.private += count;
        while self.private + self.cached.len() > self.total {
            let (_, hash) = self.idle.pop_first().expect("the caller checked that idle blocks suffice");
            self.cached.remove(&hash);
        }
    }
}

fn link(before: u64, block: &[Token]) -> u64 {
    let mut hasher = Xxh3::with_seed(before);
    for token in block {
        hasher.update(&token.to_le_bytes());
    }
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(seed: Token, count: usize) -> Vec<Token> {
        (0..count as Token).map(|i| seed * 1000 + i).collect()
    }

    /// Runs a prompt through the cache; returns the cached tokens.
    fn serve(blocks: &mut Blocks, prompt: &[Token]) -> usize {
        let chain = blocks.chain(prompt, 0);
        let (mut held, cached) = blocks.reserve(&chain, prompt.len()).unwrap();
        blocks.publish(&mut held, &chain, prompt.len());
        blocks.release(&mut held);
        cached
    }

    #[test]
    fn prefixes_are_found_block_by_block() {
        let mut blocks = Blocks::new(100, 16, true);
        let long = tokens(1, 100);
        assert_eq!(serve(&mut blocks, &long), 0);
        assert_eq!(serve(&mut blocks, &long), 96);
        assert_eq!(serve(&mut blocks, &long[..40]), 32);
        assert_eq!(serve(&mut blocks, &long[..32]), 16, "one token is left to compute");
        let mut other = long.clone();
        other[20] = 9;
        assert_eq!(serve(&mut blocks, &other), 16);
        assert_ne!(blocks.chain(&long, 0)[5], blocks.chain(&long, 1)[5], "salted");
        assert_eq!((blocks.used(), blocks.hits), (0, 96 + 32 + 16 + 16));
    }

    #[test]
    fn the_tail_is_evicted_first() {
        let mut blocks = Blocks::new(8, 16, true);
        let first = tokens(1, 96);
        serve(&mut blocks, &first);
        serve(&mut blocks, &tokens(2, 64));
        // Six and four blocks went through a cache of eight: the last two blocks of the first prompt had to go.
        assert_eq!(serve(&mut blocks, &first), 64);
    }

    #[test]
    fn limits_hold() {
        let mut blocks = Blocks::new(4, 16, true);
        let a = blocks.chain(&tokens(1, 40), 0);
        let (mut held, _) = blocks.reserve(&a, 40).unwrap();
        assert!(blocks.reserve(&blocks.chain(&tokens(2, 20), 0), 20).is_none());
        assert!(blocks.grow(&mut held, 48), "within its third block");
        assert!(blocks.grow(&mut held, 49));
        assert!(!blocks.grow(&mut held, 65));
        blocks.publish(&mut held, &a, 40);
        assert_eq!(blocks.used(), 4);
        blocks.release(&mut held);
        assert_eq!(blocks.used(), 0);
    }

    #[test]
    fn a_prompt_shared_at_the_same_time_is_counted_once() {
        let mut blocks = Blocks::new(10, 16, true);
        let prompt = tokens(1, 64);
        let chain = blocks.chain(&prompt, 0);
        let (mut first, _) = blocks.reserve(&chain, 64).unwrap();
        blocks.publish(&mut first, &chain, 64);
        let (mut second, cached) = blocks.reserve(&chain, 64).unwrap();
        assert_eq!((cached, blocks.used()), (48, 5));
        blocks.publish(&mut second, &chain, 64);
        blocks.release(&mut first);
        assert_eq!(blocks.used(), 4);
        blocks.release(&mut second);
        assert_eq!(blocks.used(), 0);
    }
}
