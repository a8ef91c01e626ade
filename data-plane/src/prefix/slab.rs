//! Nodes by number, of which those that were given back are used again.

use std::ops::{Index, IndexMut};

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// A node that has room for the number of another one, while it is free.
pub(super) trait Linked {
    fn next_free(&mut self) -> &mut u32;
}

#[derive(Debug)]
pub(super) struct Slab<N> {
    nodes: Vec<N>,
    free: u32,
}

impl<N> Default for Slab<N> {
    fn default() -> Self {
        Self { nodes: Vec::new(), free: NONE }
    }
}

impl<N: Linked> Slab<N> {
    pub(super) fn allocate(&mut self, node: N) -> u32 {
        if let Some(free) = self.nodes.get_mut(self.free as usize) {
            let at = std::mem::replace(&mut self.free, *free.next_free());
            self[at] = node;
            return at;
        }
        if self.nodes.len() == self.nodes.capacity() {
            // Doubling would leave up to half of the memory unused.
            self.nodes.reserve_exact(self.nodes.len() / 4 + 64);
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    /// Gives back a node of this slab; it is not to be used any more.
    pub(super) fn release(&mut self, at: u32) {
        *self.nodes[at as usize].next_free() = std::mem::replace(&mut self.free, at);
    }

    /// The node, unless it is [`NONE`].
    pub(super) fn get(&self, at: u32) -> Option<&N> {
        self.nodes.get(at as usize)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut N> {
        self.nodes.get_mut(at as usize)
    }

    /// All nodes, those that are free as they were when they were given back.
    pub(super) fn iter(&self) -> impl Iterator<Item = &N> {
        self.nodes.iter()
    }
}

impl<N> Index<u32> for Slab<N> {
    type Output = N;

    fn index(&self, at: u32) -> &N {
        &self.nodes[at as usize]
    }
}

impl<N> IndexMut<u32> for Slab<N> {
    fn index_mut(&mut self, at: u32) -> &mut N {
        &mut self.nodes[at as usize]
    }
}
