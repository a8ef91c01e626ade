//! A rule's timeouts (GEP-1742, GEP-2257).

use std::time::Duration;

use crate::api::Timeouts;

/// Timeouts of the whole request and of one attempt at a backend.
type Pair = (Option<Duration>, Option<Duration>);

/// Reads a rule's timeouts; the error is field and remedy.
pub(super) fn of_rule(field: &str, timeouts: Option<&Timeouts>) -> Result<Pair, String> {
    let Some(timeouts) = timeouts else { return Ok((None, None)) };
    let read = |name: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => duration(text).map(Some).ok_or_else(|| {
            format!("{field}.timeouts.{name}: {text:?} is no duration; write it as 10s, 500ms or 1h30m")
        }),
    };
    let request = read("request", &timeouts.request)?;
    let backend = read("backendRequest", &timeouts.backend_request)?;
    match (request, backend) {
        (Some(whole), Some(attempt)) if !whole.is_zero() && attempt > whole => Err(format!(
            "{field}.timeouts.backendRequest: is longer than request; make it at most {}",
            timeouts.request.as_deref().unwrap_or_default()
        )),
        pair => Ok(pair),
    }
}

/// A GEP-2257 duration: one to four numbers of up to five digits, each with a unit h, m, s or ms.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = if (1..=5).contains(&digits) { rest[..digits].parse().ok()? } else { return None };
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        total += match &rest[..letters] {
            "h" => Duration::from_secs(number * 3600),
            "m" => Duration::from_secs(number * 60),
            "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            _ => return None,
        };
        rest = &rest[letters..];
        if rest.is_empty() {
            return Some(total);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("0s", Some(0)),
            ("10s", Some(10_000)),
            ("1h30m", Some(5_400_000)),
            ("500ms", Some(500)),
            ("1h1m1s1ms", Some(3_661_001)),
            ("99999h", Some(99_999 * 3_600_000)),
            ("", None),
            ("10", None),
            ("1.5s", None),
            ("-1s", None),
            ("100000s", None),
            ("1d", None),
            ("1h1h1h1h1h", None),
            ("1s ", None),
        ] {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn an_attempt_is_not_longer_than_the_request() {
        for (request, backend, fine) in [
            (Some("1s"), Some("1s"), true),
            (Some("1s"), Some("2s"), false),
            (Some("0s"), Some("2s"), true),
            (Some("1s"), Some("0s"), true),
            (None, Some("2s"), true),
            (Some("x"), None, false),
        ] {
            let timeouts =
                Timeouts { request: request.map(Into::into), backend_request: backend.map(Into::into) };
            assert_eq!(of_rule("f", Some(&timeouts)).is_ok(), fine, "{timeouts:?}");
        }
    }
}
