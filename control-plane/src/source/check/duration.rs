//! Durations of GEP-2257: `10s`, `1h30m`, `500ms`.

use std::time::Duration;

/// What a duration is, for messages.
pub(super) const DURATION: &str =
    "a duration: up to four numbers of at most five digits with h, m, s or ms, as in 1h30m";

/// Reads a duration: `^([0-9]{1,5}(h|m|s|ms)){1,4}$`.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if !(1..=5).contains(&digits) {
            return None;
        }
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let (unit, after) = after.split_at(after.bytes().take_while(u8::is_ascii_alphabetic).count());
        total += match unit {
            "h" => Duration::from_secs(number * 3600),
            "m" => Duration::from_secs(number * 60),
            "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            _ => return None,
        };
        if after.is_empty() {
            return Some(total);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in
            [("0s", 0), ("10s", 10_000), ("1h30m", 5_400_000), ("1h1m1s1ms", 3_661_001), ("99999ms", 99_999)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "s", "1.5s", "-1s", "1d", "100000s", "1s1s1s1s1s", "1 s", "1us", "10S"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
