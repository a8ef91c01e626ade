//! A sorted list of the last time, walked in step with the one that takes its place.
//!
//! ```text
//! kept  a  b     d        take(b) ─▶ b    take(c) ─▶ none    take(e) ─▶ none, d is dropped
//! now      b  c     e
//! ```

use std::{cmp::Ordering, iter::Peekable, vec};

/// What is left of the list.
#[derive(Debug)]
pub struct Kept<T>(Peekable<vec::IntoIter<T>>);

impl<T> Kept<T> {
    /// A list in ascending order.
    pub fn new(list: Vec<T>) -> Self {
        Self(list.into_iter().peekable())
    }

    /// The element that is looked for; what comes before it is dropped. `order` says where an element stands to it.
    /// Each call looks for something later than the one before.
    pub fn take(&mut self, order: impl Fn(&T) -> Ordering) -> Option<T> {
        while self.0.next_if(|element| order(element) == Ordering::Less).is_some() {}
        self.0.next_if(|element| order(element) == Ordering::Equal)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_set, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn finds_what_both_lists_have(kept in btree_set(0..50, 0..30), now in btree_set(0..50, 0..30)) {
            let mut rest = Kept::new(kept.iter().copied().collect());
            let found: Vec<i32> = now.iter().filter_map(|n| rest.take(|k: &i32| k.cmp(n))).collect();
            prop_assert_eq!(found, kept.intersection(&now).copied().collect::<Vec<_>>());
        }
    }
}
