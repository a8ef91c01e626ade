//! A YAML value with its position.

use std::{borrow::Cow, rc::Rc};

use crate::source::field::OwnedStep;

/// A place in a file, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// Line.
    pub(crate) line: u32,
    /// Column, in characters.
    pub(crate) column: u32,
}

/// One value. Aliases share nodes, so a tree is as small as its text, however much it would expand to.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    /// Where it starts.
    pub(crate) at: Position,
    /// The value.
    pub(crate) content: Content<'a>,
    /// Number of nodes when all aliases are expanded.
    pub(super) weight: usize,
    /// Levels below, itself included, when all aliases are expanded.
    pub(super) depth: usize,
}

/// A value.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    /// Text; unquoted text may mean a number, a boolean or nothing.
    Scalar {
        /// The text, escapes resolved.
        text: Cow<'a, str>,
        /// Written without quotes and without a string tag.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Rc<Node<'a>>>),
    /// A mapping in the order of the file, keys unique.
    Map(Vec<Entry<'a>>),
}

/// One entry of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    /// The key.
    pub(crate) key: Cow<'a, str>,
    /// Where the key is.
    pub(crate) at: Position,
    /// The value.
    pub(crate) value: Rc<Node<'a>>,
}

impl<'a> Node<'a> {
    /// Whether this is `null`, `~` or nothing at all.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true } if super::scalar::is_null(text))
    }

    /// The entry under `key` of a mapping.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry<'a>> {
        let Content::Map(entries) = &self.content else { return None };
        entries.iter().find(|entry| entry.key == key)
    }

    /// The value under `key` of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.entry(key).map(|entry| entry.value.as_ref())
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// The place of a field: that of its key, or of the nearest parent that is written.
    pub(crate) fn locate(&self, field: &[OwnedStep]) -> Position {
        let mut node = self;
        let mut at = self.at;
        for step in field {
            let next = match step {
                OwnedStep::Name(key) | OwnedStep::Key(key) => node.entry(key).map(|e| (e.at, &e.value)),
                OwnedStep::Index(index) => match &node.content {
                    Content::List(items) => items.get(*index).map(|item| (item.at, item)),
                    _ => None,
                },
            };
            let Some((place, child)) = next else { break };
            (at, node) = (place, child);
        }
        at
    }
}
