//! What a source says has changed.

use super::{AnyObject, Diagnostic};
use crate::api::{Kind, ObjectRef};

/// One thing that has changed.
#[derive(Clone, Debug)]
pub enum Change {
    /// An object is there, with this content.
    Apply(AnyObject),
    /// An object is gone.
    Delete(ObjectRef),
    /// These are all the objects of a kind: others are gone. Objects of other kinds in the list are ignored.
    ReplaceKind(Kind, Vec<AnyObject>),
    /// These are all objects of all kinds: others are gone.
    ReplaceAll(Vec<AnyObject>),
    /// An object could not be read. Its last good content stays, and a re-list in the same batch does not remove it.
    Invalid(Diagnostic),
}

/// Changes that belong together, in order: readers see all or none of them.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The changes; a later one of the same object wins.
    pub changes: Vec<Change>,
}

impl Batch {
    /// A batch that replaces everything: what a directory of manifests sends.
    pub fn replace_all(objects: Vec<AnyObject>) -> Self {
        Self { changes: vec![Change::ReplaceAll(objects)] }
    }

    /// Adds a change.
    pub fn push(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Objects that could not be read.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.changes.iter().filter_map(|change| match change {
            Change::Invalid(diagnostic) => Some(diagnostic),
            _ => None,
        })
    }
}

impl FromIterator<Change> for Batch {
    fn from_iter<I: IntoIterator<Item = Change>>(changes: I) -> Self {
        Self { changes: changes.into_iter().collect() }
    }
}
