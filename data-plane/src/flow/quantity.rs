//! Times and sizes as people write them, in flags and in annotations.

use std::time::Duration;

/// A size in bytes: a number with an optional unit B, KiB, MiB or GiB.
///
/// # Errors
/// What is wrong with it.
pub fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit: usize = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" | "Ki" => 1 << 10,
        "MiB" | "Mi" => 1 << 20,
        "GiB" | "Gi" => 1 << 30,
        other => return Err(format!("unit {other:?} is not one of B, KiB, MiB, GiB")),
    };
    let number: usize =
        text[..digits].parse().map_err(|_| "a number is missing, write for example 32MiB".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "too large".to_owned())
}

/// A time: a number with the unit ms, s or m.
///
/// # Errors
/// What is wrong with it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..digits].parse().map_err(|_| "a number is missing, write for example 2s".to_owned())?;
    let millis = match &text[digits..] {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        other => return Err(format!("unit {other:?} is not one of ms, s, m")),
    };
    millis.map(Duration::from_millis).ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(bytes("32MiB"), Ok(33_554_432));
        assert_eq!(bytes("17"), Ok(17));
        assert!(bytes("32MB").unwrap_err().contains("MiB"));
        assert!(bytes("MiB").unwrap_err().contains("number"));
        assert_eq!(duration("1500ms").unwrap().as_millis(), 1500);
        assert_eq!(duration("2m").unwrap().as_secs(), 120);
        assert!(duration("2").unwrap_err().contains("ms, s, m"));
    }
}
