//! One file of manifests: from bytes to objects and diagnostics. Pure.

use std::sync::Arc;

use super::{
    AnyObject, Diagnostic, Note,
    decode::{decode, diagnostic},
    yaml::Documents,
};

/// Files above this size are refused: an accident, not a manifest.
pub(crate) const MAX_FILE_BYTES: u64 = 64 << 20;

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// Objects, in the order of the file. All are sound, also when there are diagnostics about others.
    pub objects: Vec<Located>,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// What is not used here.
    pub notes: Vec<Note>,
}

/// An object and the place it was read from.
#[derive(Clone, Debug)]
pub struct Located {
    /// The object.
    pub object: AnyObject,
    /// File.
    pub file: Arc<str>,
    /// Line on which it starts, from 1.
    pub line: u32,
    /// Read under an API group that has been superseded: an object of its name in the newer group wins.
    pub superseded: bool,
}

/// Reads a file of YAML documents, or of JSON. `file` is its name for messages.
pub fn parse(file: &str, bytes: &[u8]) -> Manifest {
    let mut manifest = Manifest::default();
    let mut refuse = |message: String, remedy: &str| {
        manifest.diagnostics.push(Diagnostic::file(file, message, remedy));
    };
    if bytes.len() as u64 > MAX_FILE_BYTES {
        refuse(format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20), "split it");
        return manifest;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            refuse(format!("not UTF-8 at byte {}", error.valid_up_to()), "save the file as UTF-8");
            return manifest;
        }
    };
    for document in Documents::new(text) {
        match document {
            Err(problem) => manifest.diagnostics.push(diagnostic(file, None, problem)),
            Ok(document) => {
                let problems = document.problems.into_iter();
                manifest.diagnostics.extend(problems.map(|problem| diagnostic(file, None, problem)));
                if !document.root.is_null() {
                    decode(file, &document.root, &mut manifest);
                }
            }
        }
    }
    manifest
}

#[cfg(test)]
mod tests;
