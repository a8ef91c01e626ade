//! The blocks of one endpoint, from the most to the least recently used.

use hashbrown::HashTable;

use super::slab::{Linked, NONE, Slab};

/// 16 bytes a block, and 5 in the table.
#[derive(Debug, Clone, Copy)]
struct Node {
    hash: u64,
    /// Towards the most recent; of a free node, the next free one.
    newer: u32,
    older: u32,
}

impl Linked for Node {
    fn next_free(&mut self) -> &mut u32 {
        &mut self.newer
    }
}

/// A set of hashes in order of use.
#[derive(Debug)]
pub(super) struct Lru {
    nodes: Slab<Node>,
    table: HashTable<u32>,
    newest: u32,
    oldest: u32,
}

impl Default for Lru {
    fn default() -> Self {
        Self { nodes: Slab::default(), table: HashTable::new(), newest: NONE, oldest: NONE }
    }
}

impl Lru {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Makes `hash` the most recent; whether it was there.
    pub(super) fn touch(&mut self, hash: u64) -> bool {
        let nodes = &self.nodes;
        if let Some(&at) = self.table.find(hash, |at| nodes[*at].hash == hash) {
            if self.newest != at {
                self.unlink(at);
                self.link(at);
            }
            return true;
        }
        let at = self.nodes.allocate(Node { hash, newer: NONE, older: NONE });
        let nodes = &self.nodes;
        self.table.insert_unique(hash, at, |at| nodes[*at].hash);
        self.link(at);
        false
    }

    /// Takes the least recent out.
    pub(super) fn evict(&mut self) -> Option<u64> {
        let at = self.oldest;
        let hash = self.nodes.get(at)?.hash;
        self.unlink(at);
        let nodes = &self.nodes;
        if let Ok(entry) = self.table.find_entry(hash, |at| nodes[*at].hash == hash) {
            entry.remove();
        }
        self.nodes.release(at);
        Some(hash)
    }

    /// From the most recent on.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = u64> {
        let first = self.nodes.get(self.newest);
        let after = |node: &&Node| self.nodes.get(node.older);
        std::iter::successors(first, after).map(|node| node.hash)
    }

    fn link(&mut self, at: u32) {
        let second = std::mem::replace(&mut self.newest, at);
        (self.nodes[at].newer, self.nodes[at].older) = (NONE, second);
        match self.nodes.get_mut(second) {
            Some(second) => second.newer = at,
            None => self.oldest = at,
        }
    }

    fn unlink(&mut self, at: u32) {
        let Node { newer, older, .. } = self.nodes[at];
        match self.nodes.get_mut(newer) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.nodes.get_mut(older) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }
}
