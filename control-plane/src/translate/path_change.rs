//! Changes of the path, in Envoy's terms: the traps of prefixes are handled here once for rewrites and redirects.

use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;

use super::value::substitute;
use crate::gateway::ir::{PathChange, PathCondition};

/// How Envoy is told.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// `prefix_rewrite`.
    Prefix(String),
    /// `regex_rewrite`.
    Regex(RegexMatchAndSubstitute),
    /// The whole path, as it is.
    Full(String),
}

/// The change of the path of a route that matches `condition`.
pub(super) fn change(condition: &PathCondition, change: &PathChange) -> Change {
    let to = match change {
        PathChange::Full(path) => return Change::Full(path.clone()),
        PathChange::Prefix(to) => to.trim_end_matches('/'),
    };
    let matched = match condition {
        PathCondition::Prefix(prefix) => prefix.trim_end_matches('/'),
        // Not a prefix: the representation rules it out; the whole path is the nearest meaning.
        PathCondition::Exact(_) | PathCondition::Regex(_) => return Change::Full(format!("{to}/")),
    };
    match (matched.is_empty(), to.is_empty()) {
        // `/` is replaced together with its slash, which the new prefix therefore brings along.
        (true, _) => Change::Prefix(format!("{to}/")),
        // `/foo` → `` would leave `//bar` or nothing at all (envoyproxy/envoy#26055).
        (false, true) => Change::Regex(substitute(&format!("^{}/*", escape(matched)), "/")),
        (false, false) => Change::Prefix(to.to_owned()),
    }
}

/// A regex rewrite of the whole path, which keeps the query string.
pub(super) fn whole(path: &str) -> RegexMatchAndSubstitute {
    // Backslashes refer to groups in substitutions.
    substitute("^/.*$", &path.replace('\\', "\\\\"))
}

/// Escapes text for RE2.
fn escape(text: &str) -> String {
    regex::escape(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        let regex = |e: &str| Change::Regex(substitute(e, "/"));
        for (matched, to, expected) in [
            ("/", "/", Change::Prefix("/".to_owned())),
            ("/", "", Change::Prefix("/".to_owned())),
            ("/", "/x", Change::Prefix("/x/".to_owned())),
            ("/foo", "/x", Change::Prefix("/x".to_owned())),
            ("/foo", "/x/", Change::Prefix("/x".to_owned())),
            ("/foo", "/", regex("^/foo/*")),
            ("/foo", "", regex("^/foo/*")),
            ("/v1.0", "", regex(r"^/v1\.0/*")),
        ] {
            let condition = PathCondition::Prefix(matched.to_owned());
            assert_eq!(change(&condition, &PathChange::Prefix(to.to_owned())), expected, "{matched} → {to}");
        }
    }

    #[test]
    fn a_whole_path_is_literal() {
        assert_eq!(whole(r"/a\1"), substitute("^/.*$", r"/a\\1"));
    }
}
