//! Decides whether a regular expression may be sent to Envoy.
//!
//! Envoy compiles expressions with RE2 and refuses a whole route configuration for one that does not compile. The
//! `regex` crate is of the same family but not equal: what it accepts beyond RE2 is refused here as well, so that a
//! mistake in one route stays a report about that route.

use regex::Regex;

/// RE2's bound for counted repetition.
const MAX_REPEAT: u32 = 1000;

/// Checks an expression; the error says what is wrong with it.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    let at_fault = |error: regex::Error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned()
    };
    Regex::new(pattern).map_err(at_fault)?;
    re2_lacks(pattern).map_or(Ok(()), |what| Err(format!("{what} is not part of RE2 syntax")))
}

/// The expression for matching a whole text, as Envoy does. `None` when it does not compile.
pub(super) fn full_match(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{pattern})$")).ok()
}

/// What a pattern that the `regex` crate accepts has and RE2 does not.
fn re2_lacks(pattern: &str) -> Option<&'static str> {
    let bytes = pattern.as_bytes();
    let (mut at, mut depth) = (0, 0_u32);
    while at < bytes.len() {
        let rest = &pattern[at..];
        let mut step = rest.chars().next().map_or(1, char::len_utf8);
        match bytes[at] {
            b'\\' => {
                if let Some(lack) = escape_lack(&rest[1..]) {
                    return Some(lack);
                }
                step = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            }
            b'[' if depth > 0 && !rest.starts_with("[:") => return Some("a nested character class"),
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b'&' | b'-' | b'~' if depth > 0 && rest.len() > 1 && bytes[at] == bytes[at + 1] => {
                return Some("an operation on character classes (&&, --, ~~)");
            }
            b'(' if depth == 0 && has_foreign_flags(rest) => {
                return Some("a group flag other than i, m, s and U");
            }
            b'{' if depth == 0 && repeats_too_often(rest) => return Some("a repetition above 1000"),
            _ => {}
        }
        at += step;
    }
    None
}

fn escape_lack(after: &str) -> Option<&'static str> {
    match after.as_bytes().first()? {
        b'u' | b'U' => Some("\\u"),
        b'<' | b'>' => Some("\\< or \\>"),
        b'b' if ["b{start", "b{end"].iter().any(|word| after.starts_with(word)) => Some("\\b{…}"),
        // RE2 knows general categories and scripts; only the former are told apart by their shape.
        b'p' | b'P' if after[1..].starts_with('{') => {
            let name = after[2..].split('}').next().unwrap_or_default().trim_start_matches('^');
            (name.len() > 2).then_some("a Unicode class other than a general category such as \\p{L}")
        }
        _ => None,
    }
}

fn has_foreign_flags(group: &str) -> bool {
    let Some(flags) = group.strip_prefix("(?") else { return false };
    let flags: String = flags.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '-').collect();
    !group.starts_with("(?P") && !group.starts_with("(?<") && flags.chars().any(|c| !"imsU-".contains(c))
}

fn repeats_too_often(braces: &str) -> bool {
    let inner = braces[1..].split('}').next().unwrap_or_default();
    inner.split(',').any(|n| n.parse::<u32>().is_ok_and(|n| n > MAX_REPEAT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_re2_compiles_passes() {
        for pattern in [
            "/v1/.*",
            "^/a(b|c)+$",
            "[a-z&-]+",
            "[[:alpha:]_]+",
            "[^/]+",
            "(?i)chat.*",
            "(?P<n>x)",
            "\\p{L}\\d{1,1000}",
            "[]a]",
            "a{2,}",
            "\\[\\]",
            "(?:a)",
            "x--y",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn what_re2_refuses_is_named() {
        for (pattern, what) in [
            ("[", "unclosed"),
            ("(a", "unclosed group"),
            ("a(?=b)", "look-around"),
            ("(a)\\1", "backreferences"),
            ("[a-z&&[^b]]", "character class"),
            ("[a[b]]", "nested"),
            ("(?x)a b", "group flag"),
            ("a{1001}", "above 1000"),
            ("\\p{Alphabetic}", "Unicode class"),
            ("\\u{61}", "\\u"),
        ] {
            let error = check(pattern).expect_err(pattern);
            assert!(error.contains(what), "{pattern}: {error}");
        }
    }

    #[test]
    fn the_whole_text_has_to_match() {
        let expression = full_match("a|b").expect("compiles");
        assert!(expression.is_match("b") && !expression.is_match("ab"));
    }
}
