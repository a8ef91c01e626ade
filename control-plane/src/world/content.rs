//! What of an object decisions are made from.

use std::sync::Arc;

use super::Objects;
use crate::api::{NamespacedName, Object};

/// An object of which some is not content.
pub trait Content: Object {
    /// Drops what is not content: fields that others write in answer to what is decided from the content.
    fn neutralise(&mut self) {
        self.meta_mut().resource_version.clear();
    }
}

/// Whether nothing that decisions are made from differs.
pub(super) fn is_same<T: Content>(one: &T, other: &T) -> bool {
    let neutral = |object: &T| {
        let mut object = object.clone();
        object.neutralise();
        object
    };
    neutral(one) == neutral(other)
}

/// Whether the maps hold the same objects: the same `Arc`s, or such that differ in nothing that decisions are made from.
/// Maps that share their root are told at once; others are looked through.
pub fn same_objects<T: Content>(one: &Objects<T>, other: &Objects<T>) -> bool {
    type Entry<'a, T> = (&'a NamespacedName, &'a Arc<T>);
    let same = |((a, one), (b, other)): (Entry<'_, T>, Entry<'_, T>)| {
        Arc::ptr_eq(one, other) || a == b && is_same(&**one, &**other)
    };
    one.ptr_eq(other) || one.len() == other.len() && one.iter().zip(other.iter()).all(same)
}
