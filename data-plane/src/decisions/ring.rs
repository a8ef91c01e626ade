//! The last of several kinds of things, bounded in number and bytes together.
//!
//! Beyond a bound, the kind that holds the most of what is bounded gives up its oldest.

use std::collections::VecDeque;
use std::sync::Arc;

/// Kinds of things.
const KINDS: usize = 3;

#[derive(Debug)]
pub(super) struct Ring<T> {
    most: usize,
    most_bytes: usize,
    pushed: u64,
    kinds: [Kind<T>; KINDS],
}

#[derive(Debug)]
struct Kind<T> {
    held: VecDeque<Held<T>>,
    bytes: usize,
}

#[derive(Debug)]
struct Held<T> {
    number: u64,
    bytes: usize,
    thing: Arc<T>,
}

impl<T> Ring<T> {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        let kinds = std::array::from_fn(|_| Kind { held: VecDeque::new(), bytes: 0 });
        Self { most, most_bytes, pushed: 0, kinds }
    }

    /// Adds `thing`, which has `bytes`, to `kind`. One that exceeds the bounds alone is not kept.
    pub(super) fn push(&mut self, kind: usize, bytes: usize, thing: Arc<T>) {
        self.pushed += 1;
        let held = Held { number: self.pushed, bytes, thing };
        self.kinds[kind].held.push_back(held);
        self.kinds[kind].bytes += bytes;
        while self.len() > self.most {
            self.give_up(|kind| kind.held.len());
        }
        while self.bytes() > self.most_bytes {
            self.give_up(|kind| kind.bytes);
        }
    }

    fn give_up(&mut self, size: impl Fn(&Kind<T>) -> usize) {
        let largest = self.kinds.iter_mut().max_by_key(|kind| size(kind)).expect("there are kinds");
        if let Some(oldest) = largest.held.pop_front() {
            largest.bytes -= oldest.bytes;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.iter().map(|kind| kind.held.len()).sum()
    }

    pub(super) fn bytes(&self) -> usize {
        self.kinds.iter().map(|kind| kind.bytes).sum()
    }

    pub(super) fn oldest(&self) -> Option<&Arc<T>> {
        let firsts = self.kinds.iter().filter_map(|kind| kind.held.front());
        firsts.min_by_key(|held| held.number).map(|held| &held.thing)
    }

    /// All of them, newest first.
    pub(super) fn newest(&self) -> Vec<Arc<T>> {
        let mut all: Vec<&Held<T>> = self.kinds.iter().flat_map(|kind| &kind.held).collect();
        all.sort_unstable_by_key(|held| std::cmp::Reverse(held.number));
        all.into_iter().map(|held| Arc::clone(&held.thing)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(ring: &Ring<&'static str>) -> Vec<&'static str> {
        ring.newest().iter().map(|thing| **thing).collect()
    }

    #[test]
    fn the_largest_kind_gives_up_its_oldest() {
        let mut ring = Ring::new(4, 100);
        for (kind, bytes, thing, kept) in [
            (0, 10, "a1", &["a1"][..]),
            (0, 10, "a2", &["a2", "a1"]),
            (0, 10, "a3", &["a3", "a2", "a1"]),
            (1, 10, "b1", &["b1", "a3", "a2", "a1"]),
            (1, 10, "b2", &["b2", "b1", "a3", "a2"]),
            (2, 10, "c1", &["c1", "b2", "a3", "a2"]),
            (2, 80, "c2", &["b2", "a3", "a2"]),
            (1, 70, "b3", &["b3", "b2", "a3", "a2"]),
            (0, 10, "a4", &["a4", "b3", "b2", "a3"]),
            (1, 101, "b4", &["a4", "a3"]),
        ] {
            ring.push(kind, bytes, Arc::new(thing));
            assert_eq!(held(&ring), kept, "after {thing}");
        }
        assert_eq!(ring.oldest().map(|thing| **thing), Some("a3"));
        let mut nothing = Ring::new(0, 100);
        nothing.push(1, 1, Arc::new("a"));
        assert_eq!(held(&nothing), [""; 0]);
    }

    proptest! {
        #[test]
        fn bounds_hold_and_kinds_keep_their_share(
            pushes in prop::collection::vec((0..KINDS, 1..40_usize), 1..300),
            most in 3..20_usize,
        ) {
            let mut ring = Ring::new(most, 10_000);
            let mut pushed = [0; KINDS];
            for (number, (kind, bytes)) in pushes.iter().enumerate() {
                ring.push(*kind, *bytes, Arc::new((*kind, number)));
                pushed[*kind] += 1;
                prop_assert!(ring.len() <= most && ring.bytes() <= 10_000);
                for (kind, pushed) in pushed.iter().enumerate() {
                    let held = ring.newest().iter().filter(|thing| thing.0 == kind).count();
                    prop_assert!(held >= *pushed.min(&(most / KINDS)));
                }
            }
            let numbers: Vec<usize> = ring.newest().iter().map(|thing| thing.1).collect();
            prop_assert!(numbers.is_sorted_by(|a, b| a > b));
        }
    }
}
