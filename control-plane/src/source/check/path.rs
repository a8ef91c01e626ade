//! Paths of HTTPRoute matches and filters.

use super::Findings;
use crate::{api::PathMatchType, source::field::Field};

/// A path match's value, by its type.
pub(super) fn check_match(field: Field<'_>, kind: &PathMatchType, value: &str, findings: &mut Findings) {
    let value_field = field.name("value");
    findings.length(value_field, value, 0, 1024);
    if !matches!(kind, PathMatchType::Exact | PathMatchType::PathPrefix) {
        return;
    }
    if !value.starts_with('/') {
        let message = format!("{value:?} must start with `/`");
        findings.add(value_field, message, format!("write {:?}", format!("/{value}")));
        return;
    }
    for forbidden in ["//", "/./", "/../", "%2f", "%2F", "#"] {
        if value.contains(forbidden) {
            findings.add(
                value_field,
                format!("{value:?} must not contain `{forbidden}`"),
                "write the plain path",
            );
        }
    }
    if value.ends_with("/..") || value.ends_with("/.") {
        findings.add(
            value_field,
            format!("{value:?} must not end with `/.` or `/..`"),
            "write the plain path",
        );
    }
    if !value.contains('#') && !is_path(value) {
        let message = format!("{value:?} has a character that a path cannot have");
        findings.add(value_field, message, "encode it as %XX; a query is matched with queryParams");
    }
}

/// `pchar` of RFC 3986 and `/`.
fn is_path(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'%' => {
                let hex = bytes.get(i + 1..i + 3);
                if !hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
                    return false;
                }
                i += 3;
            }
            b if b.is_ascii_alphanumeric() || b"-./_~!$&'()*+,;=:@".contains(&b) => i += 1,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(kind: &PathMatchType, value: &str) -> usize {
        let mut findings = Findings::default();
        check_match(Field::ROOT, kind, value, &mut findings);
        findings.into_iter().count()
    }

    #[test]
    fn paths() {
        let prefix = PathMatchType::PathPrefix;
        for good in ["/", "/v1/chat", "/a%20b", "/a;b=c", "/a/"] {
            assert_eq!(complaints(&prefix, good), 0, "{good}");
        }
        for bad in ["", "v1", "/a//b", "/./a", "/a/..", "/a%2fb", "/a#b", "/a b", "/a?b=c", "/a%zz"] {
            assert_eq!(complaints(&prefix, bad), 1, "{bad}");
            assert_eq!(complaints(&PathMatchType::Exact, bad), 1, "{bad}");
        }
        assert_eq!(complaints(&PathMatchType::RegularExpression, "a.*b[0-9]"), 0);
    }
}
