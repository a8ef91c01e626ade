//! YAML and JSON as trees with positions, and typed reading from them.
//!
//! ```text
//! text ─▶ compose (events → Node; anchors, merges, budgets) ─▶ reader (serde; path and position of every problem)
//! ```
//!
//! The parser is used directly rather than through a serde crate because a diagnostic needs three things at once:
//! the line of *any* field (also one that only a later check refuses), whether a scalar was quoted, and recovery at
//! the next document after a syntax error.

mod compose;
mod error;
mod node;
mod reader;
mod scalar;
mod suggest;

pub(crate) use compose::Documents;
pub(crate) use error::Error;
pub(crate) use node::{Content, Node, Position};
pub(crate) use reader::{At, Reader, Scope};

use super::field::OwnedField;

/// Something wrong at a place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where.
    pub(crate) at: Position,
    /// The field; empty when the problem is not about one.
    pub(crate) field: OwnedField,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) remedy: String,
}

impl Problem {
    /// A problem that is not about a field.
    pub(crate) fn new(at: Position, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { at, field: OwnedField::new(), message: message.into(), remedy: remedy.into() }
    }
}

#[cfg(test)]
mod tests;
