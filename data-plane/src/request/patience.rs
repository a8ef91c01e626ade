//! How long a client waits, as far as its request tells.
//!
//! | header | unit | from |
//! |---|---|---|
//! | `x-envoy-upstream-rq-timeout-ms` | milliseconds | clients of Envoy |
//! | `grpc-timeout` | up to 8 digits and a unit H, M, S, m, u, n | gRPC clients |
//! | `x-stainless-timeout`, `x-stainless-read-timeout` | seconds | OpenAI's and Anthropic's client libraries |

use std::time::Duration;

/// Longer times are as good as none.
const LONGEST: f64 = 86_400.0;

/// What header `name` says with `value`; None for other headers, and for what is not a positive time.
pub fn of(name: &[u8], value: &[u8]) -> Option<Duration> {
    match name {
        b"x-envoy-upstream-rq-timeout-ms" => millis(value),
        b"grpc-timeout" => grpc(value),
        b"x-stainless-timeout" | b"x-stainless-read-timeout" => seconds(number(value)?),
        _ => None,
    }
}

/// A time in milliseconds.
fn millis(value: &[u8]) -> Option<Duration> {
    seconds(number(value)? / 1e3)
}

fn grpc(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let unit = match unit {
        b'H' => 3600.0,
        b'M' => 60.0,
        b'S' => 1.0,
        b'm' => 1e-3,
        b'u' => 1e-6,
        b'n' => 1e-9,
        _ => return None,
    };
    seconds(number(digits)? * unit)
}

fn number(value: &[u8]) -> Option<f64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

fn seconds(seconds: f64) -> Option<Duration> {
    (seconds > 0.0 && seconds <= LONGEST).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_of_each_header() {
        for (name, value, expected) in [
            ("x-envoy-upstream-rq-timeout-ms", "1500", Some(1500)),
            ("grpc-timeout", "2S", Some(2000)),
            ("grpc-timeout", "250m", Some(250)),
            ("grpc-timeout", "1M", Some(60_000)),
            ("grpc-timeout", "250", None),
            ("grpc-timeout", "", None),
            ("x-stainless-read-timeout", "0.5", Some(500)),
            ("x-stainless-timeout", "600", Some(600_000)),
            ("x-stainless-timeout", "0", None),
            ("x-stainless-timeout", "-1", None),
            ("x-stainless-timeout", "NaN", None),
            ("x-stainless-timeout", "1e300", None),
            ("timeout", "1", None),
        ] {
            let found = of(name.as_bytes(), value.as_bytes()).map(|d| d.as_millis());
            assert_eq!(found, expected, "{name}: {value}");
        }
    }
}
