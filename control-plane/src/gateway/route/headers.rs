//! Changes of headers: reading them from a filter, and running one after another.

use std::collections::BTreeSet;

use crate::{
    api::{HeaderFilter, HttpHeader},
    gateway::ir::HeaderChanges,
};

/// Reads a header filter; the error is field and remedy. Of several entries for one name the first counts.
pub(super) fn changes(field: &str, filter: &HeaderFilter) -> Result<HeaderChanges, String> {
    Ok(HeaderChanges {
        set: entries(&format!("{field}.set"), &filter.set)?,
        add: entries(&format!("{field}.add"), &filter.add)?,
        remove: filter
            .remove
            .iter()
            .enumerate()
            .map(|(index, name)| header_name(&format!("{field}.remove[{index}]"), name))
            .collect::<Result<_, _>>()?,
    })
}

/// The changes that have the effect of `first` and then `second`, given that removals run before the rest.
pub(super) fn then(first: &HeaderChanges, second: &HeaderChanges) -> HeaderChanges {
    let mut both = first.clone();
    for name in &second.remove {
        both.set.retain(|(n, _)| n != name);
        both.add.retain(|(n, _)| n != name);
        if !both.remove.contains(name) {
            both.remove.push(name.clone());
        }
    }
    for (name, value) in &second.set {
        both.set.retain(|(n, _)| n != name);
        both.add.retain(|(n, _)| n != name);
        both.set.push((name.clone(), value.clone()));
    }
    both.add.extend(second.add.iter().cloned());
    both
}

/// Whether the text is a header name (RFC 9110 token).
pub(super) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c))
}

fn entries(field: &str, headers: &[HttpHeader]) -> Result<Vec<(String, String)>, String> {
    let mut seen = BTreeSet::new();
    let mut entries = Vec::new();
    for (index, header) in headers.iter().enumerate() {
        let name = header_name(&format!("{field}[{index}].name"), &header.name)?;
        if header.value.bytes().any(|c| c < b' ' && c != b'\t' || c == 0x7f) {
            return Err(format!("{field}[{index}].value: has a control character; remove it"));
        }
        if seen.insert(name.clone()) {
            entries.push((name, header.value.clone()));
        }
    }
    Ok(entries)
}

fn header_name(field: &str, name: &str) -> Result<String, String> {
    let lower = name.to_ascii_lowercase();
    if !is_token(&lower) {
        return Err(format!("{field}: {name:?} is no header name; correct it"));
    }
    // Envoy refuses configuration that changes Host as if it were a header.
    if lower == "host" {
        return Err(format!(
            "{field}: Host cannot be changed as a header; use a URLRewrite filter with hostname"
        ));
    }
    Ok(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(set: &[&str], add: &[&str], remove: &[&str]) -> HeaderChanges {
        let pairs = |list: &[&str]| {
            list.iter().filter_map(|e| e.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
        };
        HeaderChanges {
            set: pairs(set),
            add: pairs(add),
            remove: remove.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_second_filter_sees_what_the_first_did() {
        for (first, second, both) in [
            (changes(&["a=1"], &[], &[]), changes(&["a=2"], &[], &[]), changes(&["a=2"], &[], &[])),
            (changes(&["a=1"], &[], &[]), changes(&[], &["a=2"], &[]), changes(&["a=1"], &["a=2"], &[])),
            (
                changes(&["a=1"], &["b=1"], &[]),
                changes(&[], &[], &["a", "b"]),
                changes(&[], &[], &["a", "b"]),
            ),
            (changes(&[], &["a=1"], &[]), changes(&["a=2"], &[], &[]), changes(&["a=2"], &[], &[])),
            (changes(&[], &[], &["a"]), changes(&[], &["a=2"], &[]), changes(&[], &["a=2"], &["a"])),
        ] {
            assert_eq!(then(&first, &second), both, "{first:?} then {second:?}");
        }
    }
}
