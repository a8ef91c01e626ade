//! Which resources of one type a client asks for.
//!
//! ```text
//! request (subscribe, unsubscribe | names) ─▶ Subscription ─▶ Change (what has to be answered, what is forgotten)
//! ```
//!
//! The rules are those of the xDS protocol, "How the client specifies what resources to return": a first request
//! without names is a wildcard for clusters and listeners (legacy), `*` is one for every type, and a name may be
//! asked for beside the wildcard.

use std::{collections::BTreeSet, mem, sync::Arc};

/// The name that stands for all resources of a type.
pub(super) const WILDCARD: &str = "*";

/// The subscription of one client to one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscription {
    started: bool,
    wildcard: Wildcard,
    names: BTreeSet<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wildcard {
    #[default]
    No,
    /// By a first request without names. In the state-of-the-world protocol, any name ends it.
    Legacy,
    /// By `*`.
    Explicit,
}

/// What a request changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Names that the client waits for: they are answered even when nothing differs.
    pub(super) asked: Vec<Arc<str>>,
    /// Names that are not asked for by name any longer. The client has dropped them, and where a wildcard still
    /// covers one it has to be told again.
    pub(super) dropped: Vec<Arc<str>>,
    /// A wildcard subscription began.
    pub(super) wildcard_began: bool,
    /// A wildcard subscription ended: what is not asked for by name is forgotten.
    pub(super) wildcard_ended: bool,
}

impl Subscription {
    /// Whether any request for the type was seen.
    pub(super) fn started(&self) -> bool {
        self.started
    }

    /// Whether all resources are asked for.
    pub(super) fn is_wildcard(&self) -> bool {
        self.wildcard != Wildcard::No
    }

    /// Whether this resource is asked for.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.is_wildcard() || self.names.contains(name)
    }

    /// The names that are asked for by name.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.iter()
    }

    /// Applies a request of the delta protocol. `legacy` says whether a first request without names is a wildcard.
    pub(super) fn delta(&mut self, legacy: bool, subscribe: &[String], unsubscribe: &[String]) -> Change {
        let first = !mem::replace(&mut self.started, true);
        let before = self.is_wildcard();
        let mut change = Change::default();
        if first && legacy && subscribe.is_empty() {
            self.wildcard = Wildcard::Legacy;
        }
        for name in unsubscribe {
            if name == WILDCARD {
                self.wildcard = Wildcard::No;
            } else {
                self.names.remove(name.as_str());
                change.dropped.push(name.as_str().into());
            }
        }
        for name in subscribe {
            if name == WILDCARD {
                self.wildcard = Wildcard::Explicit;
            } else {
                let name: Arc<str> = name.as_str().into();
                self.names.insert(name.clone());
                change.asked.push(name);
            }
        }
        change.wildcard_began = !before && self.is_wildcard();
        change.wildcard_ended = before && !self.is_wildcard();
        change
    }

    /// Applies the names of a request of the state-of-the-world protocol, which always carries all of them.
    pub(super) fn replace(&mut self, legacy: bool, names: &[String]) -> Change {
        let first = !mem::replace(&mut self.started, true);
        let before = self.is_wildcard();
        self.wildcard = if names.iter().any(|name| name == WILDCARD) {
            Wildcard::Explicit
        } else if names.is_empty() && ((first && legacy) || self.wildcard == Wildcard::Legacy) {
            Wildcard::Legacy
        } else {
            Wildcard::No
        };
        let next: BTreeSet<Arc<str>> =
            names.iter().filter(|name| *name != WILDCARD).map(|name| name.as_str().into()).collect();
        let previous = mem::replace(&mut self.names, next);
        Change {
            asked: self.names.difference(&previous).cloned().collect(),
            dropped: previous.difference(&self.names).cloned().collect(),
            wildcard_began: !before && self.is_wildcard(),
            wildcard_ended: before && !self.is_wildcard(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    /// (subscribe, unsubscribe) per request, then: is it a wildcard, and the names.
    type Case<'a> = (&'a str, &'a [(&'a [&'a str], &'a [&'a str])], bool, &'a [&'a str]);

    #[test]
    fn delta_subscriptions() {
        let cases: &[Case<'_>] = &[
            ("legacy: empty first request", &[(&[], &[])], true, &[]),
            ("a later name does not end the legacy wildcard", &[(&[], &[]), (&["a"], &[])], true, &["a"]),
            ("explicit wildcard", &[(&["*"], &[])], true, &[]),
            ("names only", &[(&["a", "b"], &[])], false, &["a", "b"]),
            ("an empty second request is no wildcard", &[(&["a"], &[]), (&[], &[])], false, &["a"]),
            ("`*` is unsubscribed, names stay", &[(&["*", "a"], &[]), (&[], &["*"])], false, &["a"]),
            ("legacy wildcard is unsubscribed as `*`", &[(&[], &[]), (&[], &["*"])], false, &[]),
            ("a name is unsubscribed beside a wildcard", &[(&["*", "a"], &[]), (&[], &["a"])], true, &[]),
            ("wildcard after names", &[(&["a"], &[]), (&["*"], &[])], true, &["a"]),
            ("unsubscribe and subscribe in one request", &[(&["a"], &[]), (&["a"], &["a"])], false, &["a"]),
        ];
        for (case, requests, wildcard, names) in cases {
            let mut sub = Subscription::default();
            for (subscribe, unsubscribe) in *requests {
                sub.delta(true, &strings(subscribe), &strings(unsubscribe));
            }
            assert_eq!(sub.is_wildcard(), *wildcard, "{case}");
            assert_eq!(sub.names().map(|n| &**n).collect::<Vec<_>>(), *names, "{case}");
        }
    }

    #[test]
    fn only_clusters_and_listeners_have_a_legacy_wildcard() {
        let mut sub = Subscription::default();
        assert_eq!(sub.delta(false, &[], &[]), Change::default());
        assert!(sub.started() && !sub.is_wildcard());
    }

    #[test]
    fn a_repeated_subscribe_is_answered_again() {
        let mut sub = Subscription::default();
        sub.delta(false, &strings(&["a"]), &[]);
        assert_eq!(sub.delta(false, &strings(&["a"]), &[]).asked, vec![Arc::from("a")]);
    }

    /// Names per request, then: is it a wildcard, and the names.
    type SotwCase<'a> = (&'a str, &'a [&'a [&'a str]], bool, &'a [&'a str]);

    #[test]
    fn sotw_subscriptions() {
        let cases: &[SotwCase<'_>] = &[
            ("empty first", &[&[]], true, &[]),
            ("empty stays", &[&[], &[]], true, &[]),
            ("a name ends the legacy wildcard", &[&[], &["a"]], false, &["a"]),
            ("names, then none: nothing", &[&["a"], &[]], false, &[]),
            ("explicit beside a name", &[&["*", "a"]], true, &["a"]),
            ("explicit, then without it", &[&["*", "a"], &["a"]], false, &["a"]),
            ("explicit, then none", &[&["*"], &[]], false, &[]),
        ];
        for (case, requests, wildcard, names) in cases {
            let mut sub = Subscription::default();
            for names in *requests {
                sub.replace(true, &strings(names));
            }
            assert_eq!(sub.is_wildcard(), *wildcard, "{case}");
            assert_eq!(sub.names().map(|n| &**n).collect::<Vec<_>>(), *names, "{case}");
        }
    }

    #[test]
    fn sotw_changes_are_differences() {
        let mut sub = Subscription::default();
        sub.replace(false, &strings(&["a", "b"]));
        let change = sub.replace(false, &strings(&["b", "c"]));
        assert_eq!((change.asked, change.dropped), (vec![Arc::from("c")], vec![Arc::from("a")]));
    }
}
