//! What a batch changes in the objects of one kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{World, stored::Stored};
use crate::{
    api::{NamespacedName, ObjectRef},
    source::{AnyObject, Batch, Change},
};

/// One object that differs.
#[derive(Clone, Debug)]
pub(super) struct Delta<T> {
    /// Its name.
    pub(super) key: NamespacedName,
    /// The object before; `None` when it is new.
    pub(super) old: Option<Arc<T>>,
    /// The object after; `None` when it is gone.
    pub(super) new: Option<Arc<T>>,
}

impl<T: Stored> Delta<T> {
    /// The object before and after, those that there are.
    pub(super) fn sides(&self) -> impl Iterator<Item = &Arc<T>> {
        self.old.iter().chain(&self.new)
    }

    /// Whether nothing that decisions are made from has changed.
    pub(super) fn is_same_content(&self) -> bool {
        let (Some(old), Some(new)) = (&self.old, &self.new) else { return false };
        let neutral = |object: &Arc<T>| {
            let mut object = T::clone(object);
            object.neutralise();
            object
        };
        neutral(old) == neutral(new)
    }
}

/// Objects of a batch that could not be read: their last good content stays.
pub(super) fn invalid(batch: &Batch) -> BTreeSet<&ObjectRef> {
    batch.diagnostics().filter_map(|diagnostic| diagnostic.object.as_ref()).collect()
}

/// Wanted objects of a kind that a batch speaks of; `None` is gone.
struct Wanted<'b, T> {
    by_key: BTreeMap<(&'b str, &'b str), Option<&'b Arc<T>>>,
}

impl<'b, T: Stored> Wanted<'b, T> {
    fn apply(&mut self, object: &'b AnyObject) {
        if let Some(object) = T::of(object) {
            let meta = object.meta();
            self.by_key.insert((&meta.namespace, &meta.name), Some(object));
        }
    }

    fn replace(&mut self, objects: &'b [AnyObject], world: &'b World, invalid: &BTreeSet<&ObjectRef>) {
        self.by_key.clear();
        for key in T::objects(world).keys() {
            if invalid.is_empty() || !invalid.contains(&ObjectRef::new(T::KIND, key.clone())) {
                self.by_key.insert((&key.namespace, &key.name), None);
            }
        }
        objects.iter().for_each(|object| self.apply(object));
    }
}

/// The objects of one kind that a batch changes, in key order. Equal objects are not changes.
pub(super) fn deltas<T: Stored>(
    world: &World,
    batch: &Batch,
    invalid: &BTreeSet<&ObjectRef>,
) -> Vec<Delta<T>> {
    let mut wanted: Wanted<'_, T> = Wanted { by_key: BTreeMap::new() };
    for change in &batch.changes {
        match change {
            Change::Apply(object) => wanted.apply(object),
            Change::Delete(name) if name.kind == T::KIND => {
                wanted.by_key.insert((&name.key.namespace, &name.key.name), None);
            }
            Change::ReplaceKind(kind, objects) if *kind == T::KIND => wanted.replace(objects, world, invalid),
            Change::ReplaceAll(objects) => wanted.replace(objects, world, invalid),
            Change::Delete(_) | Change::ReplaceKind(..) | Change::Invalid(_) => {}
        }
    }
    let current = T::objects(world);
    let mut deltas = Vec::new();
    for ((namespace, name), new) in wanted.by_key {
        let key = NamespacedName::new(namespace, name);
        let old = current.get(&key);
        let same = match (old, new) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old == new,
            (None, None) => true,
            _ => false,
        };
        if !same {
            deltas.push(Delta { key, old: old.cloned(), new: new.cloned() });
        }
    }
    deltas
}
