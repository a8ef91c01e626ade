//! Faults that a Pod shows on demand: set for all requests by `POST /admin/faults` or [`Pod::set_faults`], or for
//! one request by the header `x-sim-fault: status=503` (also `hang`, `reset`, `reset-after=3`, `delay-ms=200`, …).
//!
//! [`Pod::set_faults`]: super::Pod::set_faults

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The header that asks for faults on one request.
pub const HEADER: &str = "x-sim-fault";

/// The faults in force; none by default. The request faults do not apply to `/metrics` and `/admin/…`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Faults {
    /// The port is closed, connections too: clients are refused.
    pub refuse: bool,
    /// Connections are reset as soon as they are accepted.
    pub reset_on_accept: bool,
    /// Requests are read and never answered.
    pub hang: bool,
    /// Answers stop after this many tokens, the connection stays open.
    pub hang_after: Option<usize>,
    /// The connection is reset instead of an answer.
    pub reset: bool,
    /// The connection is reset after this many tokens.
    pub reset_after: Option<usize>,
    /// The status of all answers.
    pub status: Option<u16>,
    /// Time before each answer, in milliseconds.
    pub delay_ms: u64,
    /// The request faults end after this many requests.
    pub times: Option<u64>,
    /// `GET /health` answers 503.
    pub unhealthy: bool,
    /// What `/metrics` shows.
    pub metrics: MetricsFault,
}

/// What may be wrong with a metrics page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricsFault {
    /// Nothing.
    #[default]
    None,
    /// It shows what it showed when the fault was set.
    Frozen,
    /// All gauges are NaN.
    Nan,
    /// Infinite, negative and overflowing values.
    Extreme,
    /// Bytes that are no text.
    Garbage,
    /// No series of the engine.
    Empty,
    /// 404.
    Missing,
    /// 500.
    Error,
    /// 32 MiB.
    Huge,
    /// Headers, then a byte each second.
    Slow,
    /// Never answered.
    Hang,
}

impl Faults {
    /// The same without what applies to requests.
    pub fn without_request_faults(&self) -> Self {
        Self {
            metrics: self.metrics,
            unhealthy: self.unhealthy,
            refuse: self.refuse,
            reset_on_accept: self.reset_on_accept,
            ..Self::default()
        }
    }

    /// These faults, replaced by those that a request's header asks for.
    ///
    /// # Errors
    /// When the header names no fault; the text says which part.
    pub fn with_header(self, header: Option<&str>) -> Result<Self, String> {
        let Some(header) = header else { return Ok(self) };
        let mut fields = Map::new();
        for part in header.split(',').map(str::trim) {
            let (key, value) = part.split_once('=').unwrap_or((part, "true"));
            fields.insert(key.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::from(value)));
        }
        serde_json::from_value(Value::Object(fields)).map_err(|error| format!("{HEADER}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let none = Faults::default();
        assert_eq!(none.clone().with_header(None), Ok(none.clone()));
        assert_eq!(
            none.clone().with_header(Some("status=503, delay-ms=20")),
            Ok(Faults { status: Some(503), delay_ms: 20, ..Faults::default() })
        );
        assert_eq!(none.clone().with_header(Some("hang")), Ok(Faults { hang: true, ..Faults::default() }));
        assert_eq!(
            none.clone().with_header(Some("metrics=nan")),
            Ok(Faults { metrics: MetricsFault::Nan, ..Faults::default() })
        );
        assert!(none.with_header(Some("explode")).is_err());
    }
}
