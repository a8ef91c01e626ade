//! Blocks of one endpoint by the engine's names, each behind the one that it follows.
//!
//! A node stays while it is held or others follow it. Only nodes that are held from the root on are in the index, so a
//! node that goes takes all that follows it along, and one that returns brings it back.

use hashbrown::HashTable;

use super::awaited::Number;
use super::event::{Medium, Stored};
use super::key::Keys;
use crate::prefix::slab::{Linked, NONE, Slab};

/// 40 bytes a block, and 5 in the table.
#[derive(Clone, Copy, Debug)]
struct Node {
    hash: u64,
    key: u64,
    /// The block that it follows; NONE at the beginning of prompts.
    parent: u32,
    /// The first of those that follow it.
    child: u32,
    /// Others that follow the same block. Of a free node, `next` is the next free one.
    next: u32,
    previous: u32,
    /// Media that hold it.
    media: u8,
    /// It and all before it are held: it is in the index.
    rooted: bool,
}

impl Linked for Node {
    fn next_free(&mut self) -> &mut u32 {
        &mut self.next
    }
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Slab<Node>,
    table: HashTable<u32>,
    held: usize,
    /// Kept between events, so that they do not allocate.
    stack: Vec<u32>,
}

impl Tree {
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Places blocks; at most `room` nodes are kept. Answers how many came to the accelerator, and how many were dropped.
    pub(super) fn store(&mut self, stored: &Stored, room: usize, number: &Number) -> (u64, u64) {
        let bit = stored.medium.bit();
        if bit == 0 {
            return (0, 0);
        }
        let all = stored.hashes.len();
        // A copy elsewhere may be told without its tokens, or without what its blocks depend on beside them (vLLM's
        // offloading tells no extra keys): a name that is known is enough.
        let known = |hash: &u64| self.find(*hash).is_some();
        let copied = stored.medium != Medium::Gpu && stored.hashes.iter().all(known);
        if stored.tokens.is_empty() || copied {
            let known = stored.hashes.iter().filter_map(|hash| self.find(*hash)).collect::<Vec<_>>();
            known.iter().for_each(|at| {
                self.hold(*at, bit, number);
            });
            return (0, (all - known.len()) as u64);
        }
        // Groups of layers that keep a part of the blocks name fewer than there are tokens for.
        let size = stored.block_size.max(1) as usize;
        if stored.tokens.len() != all * size {
            return (0, all as u64);
        }
        let (mut parent, mut keys) = match stored.parent.map(|hash| self.find(hash)) {
            None => (NONE, Keys::start(stored.block_size, &stored.adapter)),
            Some(Some(at)) => (at, Keys::after(self.nodes[at].key)),
            Some(None) => return (0, all as u64),
        };
        let blocks = stored.tokens.chunks_exact(size);
        let mut came = 0;
        for (place, (hash, tokens)) in stored.hashes.iter().zip(blocks).enumerate() {
            let key = keys.next(tokens, stored.extra.get(place).copied().unwrap_or(0));
            let Some(at) = self.place(*hash, key, parent, room, number) else {
                return (came, (all - place) as u64);
            };
            came += u64::from(self.hold(at, bit, number) && stored.medium == Medium::Gpu);
            parent = at;
        }
        (came, 0)
    }

    pub(super) fn remove(&mut self, hashes: &[u64], medium: Medium, number: &Number) {
        for hash in hashes {
            let Some(at) = self.find(*hash) else { continue };
            let node = &mut self.nodes[at];
            let before = node.media;
            node.media &= !medium.bit();
            if before != 0 && node.media == 0 {
                self.held -= 1;
                self.unroot(at, number);
                self.prune(at);
            }
        }
    }

    /// Forgets everything, memory included.
    pub(super) fn clear(&mut self, number: &Number) {
        for node in self.nodes.iter().filter(|node| node.rooted) {
            number.index.remove(node.key, number.number);
        }
        *self = Self::default();
    }

    fn find(&self, hash: u64) -> Option<u32> {
        self.table.find(hash, |at| self.nodes[*at].hash == hash).copied()
    }

    /// The node of `hash` behind `parent`, made when there is none. A name that stood for another block is given anew.
    fn place(&mut self, hash: u64, key: u64, parent: u32, room: usize, number: &Number) -> Option<u32> {
        if let Some(at) = self.find(hash) {
            if self.nodes[at].key == key {
                return Some(at);
            }
            // What follows has keys that are wrong; the block before the new one may be among it.
            self.drop_branch(at, number);
            if parent != NONE && !self.is_live(parent) {
                return None;
            }
        }
        if self.table.len() >= room {
            return None;
        }
        let node =
            Node { hash, key, parent, child: NONE, next: NONE, previous: NONE, media: 0, rooted: false };
        let at = self.nodes.allocate(node);
        if parent != NONE {
            let next = std::mem::replace(&mut self.nodes[parent].child, at);
            self.nodes[at].next = next;
            if next != NONE {
                self.nodes[next].previous = at;
            }
        }
        let nodes = &self.nodes;
        self.table.insert_unique(hash, at, |at| nodes[*at].hash);
        Some(at)
    }

    fn is_live(&self, at: u32) -> bool {
        self.find(self.nodes[at].hash) == Some(at)
    }

    /// Adds a medium; whether the node was not held in it.
    fn hold(&mut self, at: u32, bit: u8, number: &Number) -> bool {
        let node = &mut self.nodes[at];
        let before = node.media;
        node.media |= bit;
        if before == 0 {
            self.held += 1;
            let parent = node.parent;
            if parent == NONE || self.nodes[parent].rooted {
                self.root(at, number);
            }
        }
        before & bit == 0
    }

    /// `at` and what follows it are held from the root on. Parents go first into the index, so that what it shows of a chain
    /// is always its beginning.
    fn root(&mut self, at: u32, number: &Number) {
        let mut stack = std::mem::take(&mut self.stack);
        stack.push(at);
        while let Some(at) = stack.pop() {
            let node = &mut self.nodes[at];
            if node.media == 0 || node.rooted {
                continue;
            }
            node.rooted = true;
            number.index.add(node.key, number.number);
            self.children(at, &mut stack);
        }
        self.stack = stack;
    }

    /// Takes `at` and all that follows it out of the index.
    fn unroot(&mut self, at: u32, number: &Number) {
        let mut stack = std::mem::take(&mut self.stack);
        stack.push(at);
        while let Some(at) = stack.pop() {
            let node = &mut self.nodes[at];
            if std::mem::take(&mut node.rooted) {
                number.index.remove(node.key, number.number);
                self.children(at, &mut stack);
            }
        }
        self.stack = stack;
    }

    fn children(&self, at: u32, stack: &mut Vec<u32>) {
        let mut child = self.nodes[at].child;
        while child != NONE {
            stack.push(child);
            child = self.nodes[child].next;
        }
    }

    /// Forgets `at` and those before it that are not held and that nothing follows.
    fn prune(&mut self, mut at: u32) {
        while at != NONE && self.nodes[at].media == 0 && self.nodes[at].child == NONE {
            let parent = self.nodes[at].parent;
            self.release(at);
            at = parent;
        }
    }

    /// Forgets `at` and all that follows it.
    fn drop_branch(&mut self, at: u32, number: &Number) {
        self.unroot(at, number);
        let mut branch = vec![at];
        let mut place = 0;
        while let Some(at) = branch.get(place).copied() {
            self.children(at, &mut branch);
            place += 1;
        }
        let parent = self.nodes[at].parent;
        for at in branch.into_iter().rev() {
            self.held -= usize::from(self.nodes[at].media != 0);
            self.release(at);
        }
        self.prune(parent);
    }

    /// Takes a node that nothing follows out.
    fn release(&mut self, at: u32) {
        let Node { hash, parent, next, previous, .. } = self.nodes[at];
        if next != NONE {
            self.nodes[next].previous = previous;
        }
        if previous != NONE {
            self.nodes[previous].next = next;
        } else if parent != NONE {
            self.nodes[parent].child = next;
        }
        let nodes = &self.nodes;
        if let Ok(entry) = self.table.find_entry(hash, |at| nodes[*at].hash == hash) {
            entry.remove();
        }
        self.nodes.release(at);
    }
}
