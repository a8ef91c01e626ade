//! The patterns of names in the Kubernetes and Gateway APIs.

/// What a DNS label is, for messages.
pub(super) const LABEL: &str =
    "a DNS label: at most 63 lower-case letters, digits and `-`, starting and ending with a letter or digit";
/// What a DNS subdomain is, for messages.
pub(super) const SUBDOMAIN: &str =
    "a DNS name: lower-case letters, digits, `-` and `.`, starting and ending with a letter or digit";
/// What a hostname of the Gateway API is, for messages.
pub(super) const HOSTNAME: &str =
    "a hostname: a DNS name in lower case, without a port, not an IP address, perhaps with `*.` in front";
/// What a hostname without wildcard is, for messages.
pub(super) const PRECISE_HOSTNAME: &str =
    "a hostname: a DNS name in lower case, without a port, not an IP address";
/// What an HTTP header name is, for messages.
pub(super) const TOKEN: &str = "an HTTP header name: letters, digits and !#$%&'*+-.^_`|~";
/// What a domain-prefixed path is, for messages.
pub(super) const CONTROLLER: &str = "a controller name: a domain and a path, as in `example.net/controller`";
/// What a label key is, for messages.
pub(super) const LABEL_KEY: &str = "a label key: a name of at most 63 letters, digits, `-`, `_` and `.`, \
     perhaps with a DNS name and `/` in front";
/// What a label value is, for messages.
pub(super) const LABEL_VALUE: &str = "a label value: at most 63 letters, digits, `-`, `_` and `.`, \
     starting and ending with a letter or digit, or empty";
/// What a kind is, for messages.
pub(super) const KIND: &str = "a kind: letters, digits and `-`, starting with a letter";

fn lower_alphanumeric(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn dns_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|b| lower_alphanumeric(*b))
        && bytes.last().is_some_and(|b| lower_alphanumeric(*b))
        && bytes.iter().all(|b| lower_alphanumeric(*b) || *b == b'-')
}

/// DNS-1123 label.
pub(super) fn dns_label(text: &str) -> bool {
    text.len() <= 63 && dns_part(text)
}

/// DNS-1035 label: like a DNS-1123 label, starting with a letter.
pub(super) fn dns_1035_label(text: &str) -> bool {
    dns_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// DNS-1123 subdomain.
pub(super) fn dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(dns_part)
}

/// API group: empty is core.
pub(super) fn api_group(text: &str) -> bool {
    text.is_empty() || dns_subdomain(text)
}

/// Kind of an object.
pub(super) fn kind(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// `Hostname` of the Gateway API: the CRD's pattern, and no IP address as its documentation demands.
pub(super) fn hostname(text: &str) -> bool {
    precise_hostname(text.strip_prefix("*.").unwrap_or(text)) && text.len() <= 253
}

/// `PreciseHostname` of the Gateway API.
pub(super) fn precise_hostname(text: &str) -> bool {
    dns_subdomain(text) && text.parse::<std::net::IpAddr>().is_err()
}

/// `HTTPHeaderName` of the Gateway API (RFC 9110 token). Query parameter names have the same pattern.
pub(super) fn token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 256
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// `GatewayController` of the Gateway API.
pub(super) fn controller(text: &str) -> bool {
    let Some((domain, path)) = text.split_once('/') else { return false };
    text.len() <= 253
        && dns_subdomain(domain)
        && !path.is_empty()
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b))
}

fn qualified_part(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.starts_with(ends)
        && text.ends_with(ends)
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Key of a label or annotation.
pub(super) fn label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => dns_subdomain(prefix) && qualified_part(name),
        None => qualified_part(text),
    }
}

/// Value of a label.
pub(super) fn label_value(text: &str) -> bool {
    text.is_empty() || qualified_part(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn holds(pattern: fn(&str) -> bool, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(pattern(text), "{text:?} is refused");
        }
        for text in bad {
            assert!(!pattern(text), "{text:?} passes");
        }
    }

    #[test]
    fn patterns() {
        let long = "a".repeat(64);
        holds(dns_label, &["a", "a-1", "1a"], &["", "-a", "a-", "A", "a.b", "a_b", &long]);
        holds(dns_1035_label, &["a1"], &["1a"]);
        holds(dns_subdomain, &["a.b", "a", &long], &["", ".a", "a.", "a..b", "a.-b", &"a.".repeat(130)]);
        holds(
            hostname,
            &["*.example.com", "a.b"],
            &["*", "*.", "a.*.b", "example.com:80", "10.0.0.1", "A.b"],
        );
        holds(precise_hostname, &["example.com"], &["*.example.com"]);
        holds(token, &["X-Model", "a`b"], &["", "a b", "a:b", "é"]);
        holds(controller, &["signalbox.dev/gateway-controller"], &["signalbox.dev", "a/", "/b", "A/b"]);
        holds(label_key, &["app", "app.kubernetes.io/name", "A_b"], &["", "/a", "a/", "a/b/c", "-a"]);
        holds(label_value, &["", "v1.0", "A-b"], &["-", "a b", &long]);
        holds(kind, &["Service"], &["", "1a", "a.b", "a-"]);
    }
}
