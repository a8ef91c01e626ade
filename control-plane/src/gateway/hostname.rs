//! A hostname as listeners and routes have it: any, a wildcard, or exact.
//!
//! Wildcards are nested or disjoint, so two hostnames intersect exactly when one covers the other, and the
//! intersection is the covered one.

use std::fmt;

/// The set of request hosts that a listener or route speaks of; lower case.
///
/// The order is that of the texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Hostname {
    /// Every host.
    Any,
    /// Every host with at least one label before this suffix (`example.com` for `*.example.com`).
    Wildcard(String),
    /// One host.
    Exact(String),
}

impl Hostname {
    /// Reads a hostname of the API (RFC 1123, optionally `*.` in front); the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.to_ascii_lowercase();
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        if name.is_empty() || text.len() > 253 {
            return Err("a hostname has 1 to 253 characters");
        }
        if name.parse::<std::net::IpAddr>().is_ok() {
            return Err("an IP address is not a hostname");
        }
        if !name.split('.').all(is_label) {
            return Err(
                "a hostname has labels of letters, digits and '-', and '*' only as its whole first label",
            );
        }
        Ok(if wildcard { Self::Wildcard(name.to_owned()) } else { Self::Exact(name.to_owned()) })
    }

    /// Whether every host of `other` is a host of `self`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Wildcard(_) | Self::Exact(_), Self::Any) | (Self::Exact(_), Self::Wildcard(_)) => false,
            (Self::Exact(own), Self::Exact(other)) => own == other,
            (Self::Wildcard(own), Self::Exact(other)) => is_below(other, own),
            (Self::Wildcard(own), Self::Wildcard(other)) => own == other || is_below(other, own),
        }
    }

    /// The hosts of both.
    pub(super) fn intersection<'a>(&'a self, other: &'a Self) -> Option<&'a Self> {
        if self.covers(other) {
            Some(other)
        } else if other.covers(self) {
            Some(self)
        } else {
            None
        }
    }

    /// The hostnames that cover this one, from itself to `Any`: the most specific first.
    pub(super) fn coverers(&self) -> impl Iterator<Item = Self> {
        let (own, mut rest) = match self {
            Self::Any => (None, None),
            Self::Wildcard(suffix) => (Some(self.clone()), parent(suffix)),
            Self::Exact(host) => (Some(self.clone()), parent(host)),
        };
        let mut wildcards = Vec::new();
        while let Some(suffix) = rest {
            wildcards.push(Self::Wildcard(suffix.to_owned()));
            rest = parent(suffix);
        }
        own.into_iter().chain(wildcards).chain([Self::Any])
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Self::Exact(host) => f.write_str(host),
        }
    }
}

fn is_label(label: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
    !label.is_empty()
        && label.len() <= 63
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_below(host: &str, suffix: &str) -> bool {
    host.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn parent(host: &str) -> Option<&str> {
    host.split_once('.').map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(text: &str) -> Hostname {
        if text == "*" { Hostname::Any } else { Hostname::parse(text).expect("valid") }
    }

    #[test]
    fn intersections() {
        for (a, b, both) in [
            ("*", "*", "*"),
            ("*", "a.com", "a.com"),
            ("*.a.com", "x.a.com", "x.a.com"),
            ("*.a.com", "x.y.a.com", "x.y.a.com"),
            ("*.a.com", "a.com", ""),
            ("*.a.com", "xa.com", ""),
            ("*.a.com", "*.b.a.com", "*.b.a.com"),
            ("*.a.com", "*.b.com", ""),
            ("A.com", "a.COM", "a.com"),
        ] {
            let (a, b) = (host(a), host(b));
            let shown = |h: Option<&Hostname>| h.map(ToString::to_string).unwrap_or_default();
            assert_eq!(shown(a.intersection(&b)), both, "{a} {b}");
            assert_eq!(shown(b.intersection(&a)), both, "{b} {a}");
        }
    }

    #[test]
    fn what_is_no_hostname() {
        for text in
            ["", "*", "*.", "10.0.0.1", "::1", "a..b", "-a.com", "a.*.com", "a_b.com", "*a.com", "a.com:80"]
        {
            assert!(Hostname::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn coverers_go_from_the_most_specific_outward() {
        let shown: Vec<String> = host("x.y.a.com").coverers().map(|h| h.to_string()).collect();
        assert_eq!(shown, ["x.y.a.com", "*.y.a.com", "*.a.com", "*.com", "*"]);
        assert_eq!(host("*").coverers().count(), 1);
    }

    proptest! {
        #[test]
        fn coverers_are_those_that_cover(a in "(\\*\\.)?([ab]\\.){0,3}[ab]", b in "(\\*\\.)?([ab]\\.){0,3}[ab]") {
            let (a, b) = (host(&a), host(&b));
            prop_assert_eq!(a.covers(&b), b.coverers().any(|c| c == a));
        }
    }
}
