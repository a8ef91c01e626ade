//! The blocks of one endpoint, from the most to the least recently used.

use hashbrown::HashTable;

const NONE: u32 = u32::MAX;

/// 16 bytes a block, and 5 in the table.
#[derive(Debug, Clone, Copy)]
struct Node {
    hash: u64,
    /// Towards the most recent; of a free node, the next free one.
    newer: u32,
    older: u32,
}

/// A set of hashes in order of use.
#[derive(Debug)]
pub(super) struct Lru {
    nodes: Vec<Node>,
    table: HashTable<u32>,
    newest: u32,
    oldest: u32,
    free: u32,
}

impl Default for Lru {
    fn default() -> Self {
        Self { nodes: Vec::new(), table: HashTable::new(), newest: NONE, oldest: NONE, free: NONE }
    }
}

impl Lru {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Makes `hash` the most recent; whether it was there.
    pub(super) fn touch(&mut self, hash: u64) -> bool {
        let nodes = &self.nodes;
        if let Some(&at) = self.table.find(hash, |at| nodes[*at as usize].hash == hash) {
            if self.newest != at {
                self.unlink(at);
                self.link(at);
            }
            return true;
        }
        let at = self.allocate(hash);
        let nodes = &self.nodes;
        self.table.insert_unique(hash, at, |at| nodes[*at as usize].hash);
        self.link(at);
        false
    }

    /// Takes the least recent out.
    pub(super) fn evict(&mut self) -> Option<u64> {
        let at = self.oldest;
        let hash = self.nodes.get(at as usize)?.hash;
        self.unlink(at);
        let nodes = &self.nodes;
        if let Ok(entry) = self.table.find_entry(hash, |at| nodes[*at as usize].hash == hash) {
            entry.remove();
        }
        self.nodes[at as usize].newer = self.free;
        self.free = at;
        Some(hash)
    }

    fn allocate(&mut self, hash: u64) -> u32 {
        let node = Node { hash, newer: NONE, older: NONE };
        if let Some(free) = self.nodes.get(self.free as usize) {
            let at = std::mem::replace(&mut self.free, free.newer);
            self.nodes[at as usize] = node;
            return at;
        }
        if self.nodes.len() == self.nodes.capacity() {
            // Doubling would leave up to half of the memory unused.
            self.nodes.reserve_exact(self.nodes.len() / 4 + 64);
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    fn link(&mut self, at: u32) {
        let second = std::mem::replace(&mut self.newest, at);
        (self.nodes[at as usize].newer, self.nodes[at as usize].older) = (NONE, second);
        match self.nodes.get_mut(second as usize) {
            Some(second) => second.newer = at,
            None => self.oldest = at,
        }
    }

    fn unlink(&mut self, at: u32) {
        let Node { newer, older, .. } = self.nodes[at as usize];
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }
}
