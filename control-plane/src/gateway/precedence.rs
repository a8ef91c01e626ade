//! The order in which the matches of all routes of a virtual host are tried.
//!
//! As HTTPRoute specifies: exact path, longest prefix, a method, most headers, most query parameters; among equals
//! the oldest route, then namespace and name, then the order of rules and of matches within the route. Regular
//! expressions, whose place the API leaves to implementations, come between exact paths and prefixes, the longest
//! first: someone who wrote an expression means something narrower than a prefix.
//!
//! The last three fields differ for any two matches, so the order is total and does not depend on the order in which
//! objects were read.

use std::{cmp::Reverse, sync::Arc};

use jiff::Timestamp;

use super::ir::{PathCondition, RouteMatch};
use crate::api::{NamespacedName, ObjectMeta};

/// One match's place; smaller is tried earlier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Precedence {
    path: PathRank,
    without_method: bool,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    age: Age,
    route: Arc<NamespacedName>,
    rule: usize,
    position: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathRank {
    Exact,
    Regex(Reverse<usize>),
    Prefix(Reverse<usize>),
}

/// An object's age: older objects first; plain manifests have no time and come after all that have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Age {
    Since(Timestamp),
    Unknown,
}

impl Age {
    /// The age of an object.
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        meta.creation_timestamp.map_or(Self::Unknown, Self::Since)
    }
}

impl Precedence {
    /// The place of match `position` of rule `rule`.
    pub(super) fn new(
        matches: &RouteMatch,
        age: Age,
        route: &Arc<NamespacedName>,
        rule: usize,
        position: usize,
    ) -> Self {
        let length = |text: &str| Reverse(text.chars().count());
        Self {
            path: match &matches.path {
                PathCondition::Exact(_) => PathRank::Exact,
                PathCondition::Regex(pattern) => PathRank::Regex(length(pattern)),
                PathCondition::Prefix(prefix) => PathRank::Prefix(length(prefix)),
            },
            without_method: matches.method.is_none(),
            headers: Reverse(matches.headers.len()),
            query: Reverse(matches.query.len()),
            age,
            route: Arc::clone(route),
            rule,
            position,
        }
    }
}
