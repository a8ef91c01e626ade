//! The objects of many files together: no object twice, the newer API group wins.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use super::{Batch, Diagnostic, Manifest, Note, manifest::Located};
use crate::api::Kind;

/// A whole directory, without errors.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// One change that replaces everything.
    pub batch: Batch,
    /// What is not used here.
    pub notes: Vec<Note>,
}

/// Joins files; `others` are diagnostics that are not about a file's content.
///
/// # Errors
/// All diagnostics, in the order of files and lines, when there is any.
pub(crate) fn join(
    manifests: &[Arc<Manifest>],
    mut others: Vec<Diagnostic>,
) -> Result<Loaded, Vec<Diagnostic>> {
    let mut notes: Vec<Note> = manifests.iter().flat_map(|m| m.notes.iter().cloned()).collect();
    others.extend(manifests.iter().flat_map(|m| m.diagnostics.iter().cloned()));

    let mut kept: BTreeMap<(Kind, &str, &str), &Located> = BTreeMap::new();
    for located in manifests.iter().flat_map(|m| &m.objects) {
        let meta = located.object.meta();
        match kept.entry((located.object.kind(), &meta.namespace, &meta.name)) {
            Entry::Vacant(free) => {
                free.insert(located);
            }
            Entry::Occupied(mut first) => match (first.get().superseded, located.superseded) {
                (true, false) => notes.push(superseded(first.insert(located), located)),
                (false, true) => notes.push(superseded(located, first.get())),
                _ => others.push(duplicate(first.get(), located)),
            },
        }
    }
    if !others.is_empty() {
        others.sort();
        return Err(others);
    }
    notes.sort();
    let objects = kept.into_values().map(|located| located.object.clone()).collect();
    Ok(Loaded { batch: Batch::replace_all(objects), notes })
}

fn duplicate(first: &Located, second: &Located) -> Diagnostic {
    Diagnostic {
        file: second.file.to_string(),
        line: Some(second.line),
        object: Some(second.object.object_ref()),
        message: format!("this object is also in {}:{}", first.file, first.line),
        remedy: "remove one of them, or rename it".into(),
        ..Diagnostic::default()
    }
}

fn superseded(older: &Located, newer: &Located) -> Note {
    Note {
        file: older.file.to_string(),
        line: Some(older.line),
        message: format!(
            "{} of inference.networking.x-k8s.io is not used: {}:{} has it in llm-d.ai",
            older.object.object_ref(),
            newer.file,
            newer.line
        ),
    }
}

#[cfg(test)]
mod tests;
