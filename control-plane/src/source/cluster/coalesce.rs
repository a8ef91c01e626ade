//! Changes that come close together form one batch.
//!
//! ```text
//! Edit, Edit, … ─▶ pending: a map by object, the later replaces the earlier ─▶ due: quiet, or old enough ─▶ Batch
//! ```
//!
//! This is the queue between the watches and the reducer, and its overflow rule: while the reducer is busy, an object
//! that changes again replaces its pending change (counted), so that what waits is never more than the objects there
//! are.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    api::{Kind, NamespacedName, ObjectRef},
    source::{AnyObject, Batch, Change, Diagnostic},
};

/// How long changes wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// A batch is due when nothing has changed for this long,
    pub quiet: Duration,
    /// or this long where all that has changed are Pods, Nodes and EndpointSlices: they change in crowds, and each batch
    /// sends all endpoints of a cluster anew,
    pub crowd: Duration,
    /// and at the latest this long after its first change,
    pub at_most: Duration,
    /// or this long where all of them are such.
    pub crowd_at_most: Duration,
}

impl Default for Window {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { quiet: ms(5), crowd: ms(25), at_most: ms(50), crowd_at_most: ms(100) }
    }
}

/// What endpoints are made of.
fn is_of_a_crowd(kind: Kind) -> bool {
    matches!(kind, Kind::Pod | Kind::Node | Kind::EndpointSlice)
}

/// What the watches say.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// These are all the objects of a kind, and those that could not be read.
    Replace(Kind, Vec<AnyObject>, Vec<(NamespacedName, Diagnostic)>),
    /// An object is there.
    Apply(AnyObject),
    /// An object is gone.
    Delete(ObjectRef),
    /// An object cannot be read.
    Invalid(ObjectRef, Diagnostic),
}

impl Edit {
    fn kind(&self) -> Kind {
        match self {
            Self::Replace(kind, ..) => *kind,
            Self::Apply(object) => object.kind(),
            Self::Delete(name) | Self::Invalid(name, _) => name.kind,
        }
    }
}

/// The pending change of one object.
#[derive(Clone, Debug, Default)]
struct Pending {
    /// What is to be there; `Some(None)` is gone.
    content: Option<Option<AnyObject>>,
    /// It cannot be read since.
    invalid: Option<Diagnostic>,
}

/// The pending changes of one kind.
#[derive(Clone, Debug, Default)]
struct PendingKind {
    /// What is not in `objects` is gone.
    replaces: bool,
    objects: BTreeMap<NamespacedName, Pending>,
}

/// When pending changes came.
#[derive(Clone, Copy, Debug)]
struct Times {
    first: Instant,
    last: Instant,
    /// The last one of something that does not come in crowds.
    prompt: Option<Instant>,
}

/// Changes on their way to the reducer.
#[derive(Clone, Debug)]
pub(super) struct Coalescer {
    window: Window,
    kinds: BTreeMap<Kind, PendingKind>,
    times: Option<Times>,
    merged: u64,
}

impl Coalescer {
    pub(super) fn new(window: Window) -> Self {
        Self { window, kinds: BTreeMap::new(), times: None, merged: 0 }
    }

    /// Takes a change in.
    pub(super) fn add(&mut self, edit: Edit, now: Instant) {
        let Times { first, prompt, .. } = self.times.unwrap_or(Times { first: now, last: now, prompt: None });
        let prompt = if is_of_a_crowd(edit.kind()) { prompt } else { Some(now) };
        self.times = Some(Times { first, last: now, prompt });
        match edit {
            Edit::Replace(kind, objects, invalid) => {
                let pending = self.kinds.entry(kind).or_default();
                pending.replaces = true;
                self.merged += pending.objects.len() as u64;
                pending.objects.clear();
                for object in objects {
                    pending
                        .objects
                        .insert(object.key(), Pending { content: Some(Some(object)), invalid: None });
                }
                for (key, diagnostic) in invalid {
                    pending.objects.entry(key).or_default().invalid = Some(diagnostic);
                }
            }
            Edit::Apply(object) => {
                let (kind, key) = (object.kind(), object.key());
                *self.pending(kind, key) = Pending { content: Some(Some(object)), invalid: None };
            }
            Edit::Delete(name) => {
                *self.pending(name.kind, name.key) = Pending { content: Some(None), invalid: None };
            }
            // A pending content stays: it is the last good one.
            Edit::Invalid(name, diagnostic) => self.pending(name.kind, name.key).invalid = Some(diagnostic),
        }
    }

    fn pending(&mut self, kind: Kind, key: NamespacedName) -> &mut Pending {
        match self.kinds.entry(kind).or_default().objects.entry(key) {
            Entry::Vacant(free) => free.insert(Pending::default()),
            Entry::Occupied(pending) => {
                self.merged += 1;
                pending.into_mut()
            }
        }
    }

    /// When the pending changes are due; `None` when there are none.
    pub(super) fn due(&self) -> Option<Instant> {
        let Times { first, last, prompt } = self.times?;
        let Window { quiet, crowd, at_most, crowd_at_most } = self.window;
        Some(match prompt {
            Some(prompt) => (prompt + quiet).min(first + at_most),
            None => (last + crowd).min(first + crowd_at_most),
        })
    }

    /// The pending changes as a batch. With `everything`, what is not among them is gone, of every kind.
    pub(super) fn take(&mut self, everything: bool) -> Batch {
        self.times = None;
        let mut all = Vec::new();
        let (mut batch, mut after) = (Batch::default(), Batch::default());
        for (kind, PendingKind { replaces, objects }) in std::mem::take(&mut self.kinds) {
            let mut there = Vec::new();
            for (key, Pending { content, invalid }) in objects {
                match content {
                    Some(Some(object)) => there.push(object),
                    Some(None) => after.push(Change::Delete(ObjectRef::new(kind, key))),
                    None => {}
                }
                after.changes.extend(invalid.map(Change::Invalid));
            }
            if everything {
                all.append(&mut there);
            } else if replaces {
                batch.push(Change::ReplaceKind(kind, there));
            } else {
                batch.changes.extend(there.into_iter().map(Change::Apply));
            }
        }
        if everything {
            batch.push(Change::ReplaceAll(all));
        }
        batch.changes.append(&mut after.changes);
        batch
    }

    /// Changes that a later change of the same object has replaced before they were taken, since the last call.
    pub(super) fn take_merged(&mut self) -> u64 {
        std::mem::take(&mut self.merged)
    }
}

#[cfg(test)]
mod tests;
