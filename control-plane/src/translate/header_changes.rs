//! Changes of headers, in Envoy's terms.

use envoy_types::pb::envoy::config::core::v3::HeaderValueOption;

use super::value::{add_header, set_header};
use crate::gateway::ir::HeaderChanges;

/// Headers to set and append, in order. Within one level Envoy removes before it adds.
pub(super) fn to_add(changes: &HeaderChanges) -> Vec<HeaderValueOption> {
    let set = changes.set.iter().map(|(name, value)| set_header(name, value));
    set.chain(changes.add.iter().map(|(name, value)| add_header(name, value))).collect()
}

/// `first`, then `second`, as one level: what `second` removes, `first` need not add.
pub(super) fn merge(first: &HeaderChanges, second: &HeaderChanges) -> HeaderChanges {
    let mut merged = first.clone();
    let gone = |(name, _): &(String, String)| !second.remove.contains(name);
    merged.set.retain(gone);
    merged.add.retain(gone);
    // A value that `second` sets replaces what `first` appended; setting runs before appending.
    merged.add.retain(|(name, _)| !second.set.iter().any(|(other, _)| other == name));
    merged.set.extend(second.set.iter().cloned());
    merged.add.extend(second.add.iter().cloned());
    merged.remove.extend(second.remove.iter().cloned());
    merged.remove.sort();
    merged.remove.dedup();
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> HeaderChanges {
        let pairs = |of: &[(&str, &str)]| of.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
        HeaderChanges {
            set: pairs(set),
            add: pairs(add),
            remove: remove.iter().map(|&r| r.to_owned()).collect(),
        }
    }

    #[test]
    fn the_second_level_runs_after_the_first() {
        for (first, second, expected) in [
            (changes(&[("a", "1")], &[], &[]), changes(&[], &[], &["a"]), changes(&[], &[], &["a"])),
            (
                changes(&[("a", "1")], &[], &[]),
                changes(&[("a", "2")], &[], &[]),
                changes(&[("a", "1"), ("a", "2")], &[], &[]),
            ),
            (
                changes(&[], &[("a", "1")], &[]),
                changes(&[("a", "2")], &[], &[]),
                changes(&[("a", "2")], &[], &[]),
            ),
            (
                changes(&[], &[("a", "1")], &["b"]),
                changes(&[], &[("a", "2")], &["b"]),
                changes(&[], &[("a", "1"), ("a", "2")], &["b"]),
            ),
        ] {
            assert_eq!(merge(&first, &second), expected);
        }
    }
}
