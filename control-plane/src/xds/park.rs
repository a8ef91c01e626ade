//! Versions that a node rejected, and which resources of a rejected response are to blame.
//!
//! ```text
//! NACK(text, names of the response) ─▶ blame ─▶ Named: these are parked, the others were accepted
//!                                          └──▶ Unknown: one resource: parked; several: sent again in two halves
//! ```
//!
//! Envoy applies the good resources of a CDS or LDS response and names the bad ones. When it cannot even decode or
//! validate one, it rejects the whole response without a name (measured on 1.40).

use std::sync::Arc;

use super::{ResourceType, Version};

/// A rejected version. It is not sent again to the node on this stream until the content changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parked {
    /// The version that was rejected.
    pub(super) version: Version,
    /// Envoy's words.
    pub(super) message: Arc<str>,
}

/// Who is to blame for a rejected response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The resources at these positions; the others were accepted.
    Named(Vec<usize>),
    /// The text names none: nothing of the response was accepted.
    Unknown,
}

/// Reads who is to blame out of Envoy's text (`Error adding/updating cluster(s) a: why, b: why`; listeners are
/// separated by line ends).
pub(super) fn blame<'a>(kind: ResourceType, names: impl Iterator<Item = &'a str>, message: &str) -> Blame {
    let prefix = match kind {
        ResourceType::Cluster => "Error adding/updating cluster(s) ",
        ResourceType::Listener => "Error adding/updating listener(s) ",
        _ => return Blame::Unknown,
    };
    let Some((_, rest)) = message.split_once(prefix) else { return Blame::Unknown };
    let named: Vec<usize> =
        names.enumerate().filter(|(_, name)| is_named(rest, name)).map(|(position, _)| position).collect();
    if named.is_empty() { Blame::Unknown } else { Blame::Named(named) }
}

/// Whether an entry `name: reason` begins the text, a line, or follows a comma.
fn is_named(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = &text[..at];
        let starts = before.is_empty() || before.ends_with(", ") || before.ends_with('\n');
        starts && text[at + name.len()..].starts_with(": ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envoys_texts_name_the_bad_ones() {
        use ResourceType::{Cluster, Endpoint, Listener, Route};
        let cases: &[(ResourceType, &str, Blame)] = &[
            (Cluster, "Error adding/updating cluster(s) b: no such thing", Blame::Named(vec![1])),
            (Cluster, "Error adding/updating cluster(s) a: x, c/d: y", Blame::Named(vec![0, 2])),
            (Listener, "Error adding/updating listener(s) a: x\nb: y\n", Blame::Named(vec![0, 1])),
            (Cluster, "Duration out-of-range", Blame::Unknown),
            (Cluster, "Error adding/updating cluster(s) other: x", Blame::Unknown),
            (Cluster, "Error adding/updating cluster(s) other: mentions b: here", Blame::Unknown),
            (Route, "missing ]: [invalid", Blame::Unknown),
            (Endpoint, "Error adding/updating cluster(s) a: x", Blame::Unknown),
        ];
        for (kind, text, expected) in cases {
            assert_eq!(blame(*kind, ["a", "b", "c/d"].into_iter(), text), *expected, "{text}");
        }
    }
}
