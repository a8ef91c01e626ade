//! `Secret`.

use super::Findings;
use crate::{api::Secret, source::field::Field};

pub(super) fn check(secret: &Secret, findings: &mut Findings) {
    let data = Field::ROOT.name("data");
    for (key, value) in &secret.data {
        if !is_base64(value) {
            findings.add(data.key(key), "is not base64", "encode it, or put the plain text under stringData");
        }
    }
}

/// Standard base64 with padding; line breaks are allowed, as in manifests with folded text.
fn is_base64(text: &str) -> bool {
    let digits: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\n' | b'\r')).collect();
    let body = digits.strip_suffix(b"==").or_else(|| digits.strip_suffix(b"=")).unwrap_or(&digits);
    digits.len().is_multiple_of(4)
        && body.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64() {
        for good in ["", "YQ==", "YWI=", "YWJj", "YWJj\nYWJj\n", "+/+/"] {
            assert!(is_base64(good), "{good:?}");
        }
        for bad in ["YQ", "Y===", "YW Jj", "-_-_", "plain text!"] {
            assert!(!is_base64(bad), "{bad:?}");
        }
    }
}
