//! One relation of the index: objects filed under what they refer to.

use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

use imbl::OrdMap;

use super::Objects;
use crate::api::Object;

/// Objects by key; an object may be under several keys. Keys without objects are not kept, so equal relations are
/// structurally equal.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Relation<K: Ord, T: PartialEq> {
    by_key: OrdMap<K, Objects<T>>,
}

impl<K: Ord, T: PartialEq> Default for Relation<K, T> {
    fn default() -> Self {
        Self { by_key: OrdMap::new() }
    }
}

impl<K: Ord + Clone + Debug, T: Object> Relation<K, T> {
    /// Files a changed object anew; `keys` says what an object refers to.
    pub(super) fn update(
        &mut self,
        old: Option<&Arc<T>>,
        new: Option<&Arc<T>>,
        keys: impl Fn(&T) -> BTreeSet<K>,
    ) {
        let before = old.map(|object| keys(object)).unwrap_or_default();
        let after = new.map(|object| keys(object)).unwrap_or_default();
        if let Some(old) = old {
            for key in before.difference(&after) {
                self.remove(key, old);
            }
        }
        if let Some(new) = new {
            for key in after {
                self.insert(key, new);
            }
        }
    }

    /// Files an object under a key, in place of the one with its name.
    pub(super) fn insert(&mut self, key: K, object: &Arc<T>) {
        self.by_key.entry(key).or_default().insert(object.key(), Arc::clone(object));
    }

    /// Removes an object from a key.
    pub(super) fn remove(&mut self, key: &K, object: &T) {
        let Some(objects) = self.by_key.get_mut(key) else { return };
        objects.remove(&object.key());
        if objects.is_empty() {
            self.by_key.remove(key);
        }
    }

    /// Removes a key.
    pub(super) fn clear(&mut self, key: &K) {
        self.by_key.remove(key);
    }

    /// The objects under a key, in key order.
    pub(super) fn of(&self, key: &K) -> impl Iterator<Item = &Arc<T>> {
        self.by_key.get(key).into_iter().flat_map(|objects| objects.values())
    }

    /// All keys from `first` on, with their objects.
    pub(super) fn from(&self, first: K) -> impl Iterator<Item = (&K, &Objects<T>)> {
        self.by_key.range(first..)
    }
}
