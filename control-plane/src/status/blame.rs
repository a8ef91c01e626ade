//! Decides which objects a refusal of Envoy is about, by the names in it.
//!
//! ```text
//! pool/<namespace>/<name>                           a cluster or its endpoints ─▶ InferencePool
//! httproute/<namespace>/<name>/rule/<i>/match/<j>   a route                    ─▶ HTTPRoute
//! ```
//!
//! A refused RouteConfiguration is named after its port, so Envoy's words are searched as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::api::NamespacedName;

/// What Envoy refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Names of the resources.
    pub resources: Vec<String>,
    /// Envoy's words.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.resources.join(", "), self.message)
    }
}

/// Envoy's words by the object that caused them; each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Blame<'a> {
    pub(super) routes: BTreeMap<NamespacedName, BTreeSet<&'a str>>,
    pub(super) pools: BTreeMap<NamespacedName, BTreeSet<&'a str>>,
}

impl<'a> Blame<'a> {
    /// Looks at refusals.
    pub(super) fn of(refusals: &'a [Refusal]) -> Self {
        let mut blame = Self::default();
        for refusal in refusals {
            let message = refusal.message.as_str();
            for text in refusal.resources.iter().map(String::as_str).chain([message]) {
                for route in names(text, "httproute/") {
                    blame.routes.entry(route).or_default().insert(message);
                }
                for pool in names(text, "pool/") {
                    blame.pools.entry(pool).or_default().insert(message);
                }
            }
        }
        blame
    }
}

/// The text of an object's refusals.
pub(super) fn words(messages: &BTreeSet<&str>) -> String {
    messages.iter().copied().collect::<Vec<_>>().join("; ")
}

/// Objects named in a text as `<prefix><namespace>/<name>`.
fn names(text: &str, prefix: &str) -> BTreeSet<NamespacedName> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let part = |text: &str| text.chars().take_while(|c| is_part(*c)).collect::<String>();
    let starts = text
        .match_indices(prefix)
        .filter(|(at, _)| !text[..*at].chars().next_back().is_some_and(|c| is_part(c) || c == '/'));
    let found = starts.filter_map(|(at, _)| {
        let rest = &text[at + prefix.len()..];
        let namespace = part(rest);
        let name = part(rest[namespace.len()..].strip_prefix('/')?);
        // A sentence may end after the name.
        let name = name.trim_end_matches('.').to_owned();
        (!namespace.is_empty() && !name.is_empty()).then(|| NamespacedName::new(namespace, name))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_resources_and_messages() {
        let table = [
            (&["pool/ns/llm"][..], "bad", "pool ns/llm"),
            (&["http-80"], "duplicate name httproute/a/b.c/rule/0/match/1 in 'x'", "route a/b.c"),
            (&["http-80"], "route: unknown cluster 'pool/ns/llm'", "pool ns/llm"),
            (&["http-80"], "see pool/ns/llm.", "pool ns/llm"),
            (&["inferencepool/ns/llm", "x/pool/ns/llm", "pool/ns", "pool//x"], "pool/", ""),
            (&["picker/ns/epp/9002", "service/ns/web/80"], "bad", ""),
        ];
        for (resources, message, expected) in table {
            let resources = resources.iter().map(|r| (*r).to_owned()).collect();
            let refusals = [Refusal { resources, message: message.into() }];
            let blame = Blame::of(&refusals);
            let routes = blame.routes.keys().map(|name| format!("route {name}"));
            let found: Vec<_> = routes.chain(blame.pools.keys().map(|name| format!("pool {name}"))).collect();
            assert_eq!(found.join(" "), expected, "{message}");
        }
    }
}
