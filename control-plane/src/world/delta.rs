//! What a batch changes in the objects of one kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{World, content, stored::Stored};
use crate::{
    api::{Kind, NamespacedName, ObjectRef},
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
        content::is_same(&**old, &**new)
    }
}

/// Objects of a batch that could not be read: their last good content stays.
pub(super) fn invalid(batch: &Batch) -> BTreeSet<&ObjectRef> {
    batch.diagnostics().filter_map(|diagnostic| diagnostic.object.as_ref()).collect()
}

/// Wanted objects of a kind that a batch speaks of.
struct Wanted<'b, T> {
    /// By namespace and name; `None` is gone.
    by_key: BTreeMap<(&'b str, &'b str), Option<&'b Arc<T>>>,
    /// What is not in `by_key` is gone.
    is_relist: bool,
}

impl<'b, T: Stored> Wanted<'b, T> {
    fn of(batch: &'b Batch) -> Self {
        let mut wanted = Self { by_key: BTreeMap::new(), is_relist: false };
        for change in &batch.changes {
            match change {
                Change::Apply(object) => wanted.apply(object),
                Change::Delete(name) if name.kind == T::KIND => {
                    wanted.by_key.insert((&name.key.namespace, &name.key.name), None);
                }
                Change::ReplaceKind(kind, objects) if *kind == T::KIND => wanted.replace(objects),
                Change::ReplaceAll(objects) => wanted.replace(objects),
                Change::Delete(_) | Change::ReplaceKind(..) | Change::Invalid(_) => {}
            }
        }
        wanted
    }

    fn apply(&mut self, object: &'b AnyObject) {
        if let Some(object) = T::of(object) {
            let meta = object.meta();
            self.by_key.insert((&meta.namespace, &meta.name), Some(object));
        }
    }

    fn replace(&mut self, objects: &'b [AnyObject]) {
        self.by_key.clear();
        self.is_relist = true;
        objects.iter().for_each(|object| self.apply(object));
    }
}

/// The objects of one kind that a batch changes, in key order. Equal objects are not changes.
pub(super) fn deltas<T: Stored>(
    world: &World,
    batch: &Batch,
    invalid: &BTreeSet<&ObjectRef>,
) -> Vec<Delta<T>> {
    let Wanted { by_key, is_relist } = Wanted::<T>::of(batch);
    let current = T::objects(world);
    let mut deltas = Vec::new();
    if !is_relist {
        for ((namespace, name), new) in by_key {
            let key = NamespacedName::new(namespace, name);
            deltas.extend(delta(&key, current.get(&key), new));
        }
        return deltas;
    }
    // Both sides are in key order: one walk finds what is new, what differs and what is gone.
    let mut rest = by_key.into_iter().peekable();
    let added = |((namespace, name), new): ((&str, &str), Option<&Arc<T>>)| {
        delta(&NamespacedName::new(namespace, name), None, new)
    };
    for (key, old) in current {
        let at = (key.namespace.as_str(), key.name.as_str());
        while let Some(entry) = rest.next_if(|(other, _)| *other < at) {
            deltas.extend(added(entry));
        }
        match rest.next_if(|(other, _)| *other == at) {
            Some((_, new)) => deltas.extend(delta(key, Some(old), new)),
            None if is_invalid(invalid, T::KIND, key) => {}
            None => deltas.extend(delta(key, Some(old), None)),
        }
    }
    deltas.extend(rest.filter_map(added));
    deltas
}

fn is_invalid(invalid: &BTreeSet<&ObjectRef>, kind: Kind, key: &NamespacedName) -> bool {
    !invalid.is_empty() && invalid.contains(&ObjectRef::new(kind, key.clone()))
}

/// The difference of an object, if any.
fn delta<T: Stored>(key: &NamespacedName, old: Option<&Arc<T>>, new: Option<&Arc<T>>) -> Option<Delta<T>> {
    let same = match (old, new) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old == new,
        (None, None) => true,
        _ => false,
    };
    (!same).then(|| Delta { key: key.clone(), old: old.cloned(), new: new.cloned() })
}
