//! What is wrong with a manifest, and where, in words that say what to do.

use std::fmt;

use crate::api::ObjectRef;

/// A reason why an object, a file or a whole directory is refused.
///
/// Shown as `file:line: Kind ns/name: field: message; remedy`, leaving out what is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// File, relative to the directory that was read; empty for objects from a cluster.
    pub file: String,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
    /// The object.
    pub object: Option<ObjectRef>,
    /// Path of the field, for example `spec.rules[0].matches[1].path.type`.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it; empty when the message says it all.
    pub remedy: String,
}

impl Diagnostic {
    /// A diagnostic that speaks of a whole file.
    pub fn file(file: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { file: file.into(), message: message.into(), remedy: remedy.into(), ..Self::default() }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, &self.file, self.line)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Something worth knowing that stops nothing: an object that Signalbox does not use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// File, relative to the directory that was read.
    pub file: String,
    /// Line, from 1.
    pub line: Option<u32>,
    /// What there is to know.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, &self.file, self.line)?;
        f.write_str(&self.message)
    }
}

fn place(f: &mut fmt::Formatter<'_>, file: &str, line: Option<u32>) -> fmt::Result {
    match (file, line) {
        ("", _) => Ok(()),
        (file, Some(line)) => write!(f, "{file}:{line}: "),
        (file, None) => write!(f, "{file}: "),
    }
}
