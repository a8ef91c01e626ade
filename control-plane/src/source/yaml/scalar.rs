//! What unquoted text means.
//!
//! The core schema of YAML 1.2: `yes`, `on` and `0777` are text. (kubectl reads YAML 1.1, where they are booleans
//! and an octal number; here they only count as such where the field is a boolean.)

/// A scalar's meaning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Meaning {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text,
}

/// Whether unquoted text stands for nothing.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// The meaning of unquoted text.
pub(super) fn meaning(text: &str) -> Meaning {
    if is_null(text) {
        return Meaning::Null;
    }
    match text {
        "true" | "True" | "TRUE" => return Meaning::Bool(true),
        "false" | "False" | "FALSE" => return Meaning::Bool(false),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return Meaning::Text;
    }
    if let Some(int) = int(text) {
        return Meaning::Int(int);
    }
    let numeric = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    match text.parse::<f64>() {
        Ok(float) if numeric && float.is_finite() && text.contains(['.', 'e', 'E']) => Meaning::Float(float),
        _ => Meaning::Text,
    }
}

fn int(text: &str) -> Option<i128> {
    if let Some(hex) = text.strip_prefix("0x") {
        return radix(hex, 16);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return radix(octal, 8);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let decimal =
        digits.bytes().all(|b| b.is_ascii_digit()) && !(digits.len() > 1 && digits.starts_with('0'));
    if decimal { text.parse().ok() } else { None }
}

fn radix(digits: &str, radix: u32) -> Option<i128> {
    // `from_str_radix` takes a sign, which is not allowed behind the prefix.
    if digits.starts_with(['-', '+']) { None } else { i128::from_str_radix(digits, radix).ok() }
}

/// A boolean as a field that is one may be written.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "y" | "Y" | "on" | "On" | "ON" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "n" | "N" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meanings() {
        for (text, expected) in [
            ("", Meaning::Null),
            ("~", Meaning::Null),
            ("true", Meaning::Bool(true)),
            ("yes", Meaning::Text),
            ("on", Meaning::Text),
            ("80", Meaning::Int(80)),
            ("-1", Meaning::Int(-1)),
            ("0x1F", Meaning::Int(31)),
            ("0x-1", Meaning::Text),
            ("0777", Meaning::Text),
            ("1.10", Meaning::Float(1.1)),
            ("1e3", Meaning::Float(1000.0)),
            ("1.2.3", Meaning::Text),
            ("10s", Meaning::Text),
            ("1_000", Meaning::Text),
            (".inf", Meaning::Text),
            ("-", Meaning::Text),
            ("10.0.0.1", Meaning::Text),
        ] {
            assert_eq!(meaning(text), expected, "{text}");
        }
    }
}
