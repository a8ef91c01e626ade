//! Kubernetes quantities (`500m`, `1Gi`, `2e3`) as numbers.

/// The quantity in its base unit; `None` when it is malformed or negative.
pub fn parse(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 13] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("u", 1e-6),
    ];
    let suffix = SUFFIXES.into_iter().find(|(suffix, _)| text.ends_with(suffix));
    let (number, unit) =
        suffix.map_or((text, 1.0), |(suffix, unit)| (&text[..text.len() - suffix.len()], unit));
    let plain = number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    let number: f64 = plain.then(|| number.parse().ok()).flatten()?;
    (number.is_finite() && number >= 0.0).then_some(number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        let table = [
            ("500m", Some(0.5)),
            ("2", Some(2.0)),
            ("1Gi", Some(1_073_741_824.0)),
            ("1.5Ki", Some(1536.0)),
            ("1G", Some(1e9)),
            ("2e3", Some(2000.0)),
            ("", None),
            ("-1", None),
            ("inf", None),
            ("1 Gi", None),
            ("GiB", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
