//! Refusals: what a client is told when no endpoint is picked for it.
//!
//! One named reason is the same in the header, the metric and the log. The body has OpenAI's error shape.

use std::fmt::Write as _;

use crate::flow::Shed;
use crate::picker::Refusal;

/// Why and how a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// The named reason: `x-signalbox-reason`, and the `reason` label of the metric.
    pub reason: &'static str,
    /// The reason in the words of other pickers: `x-llm-d-request-dropped-reason`.
    pub dropped_reason: &'static str,
    /// What the client reads.
    pub message: String,
    /// Seconds after which a retry may succeed.
    pub retry_after: Option<u32>,
}

impl Refused {
    /// 413: the body exceeds `limit` bytes.
    pub fn too_large(limit: usize) -> Self {
        Self {
            status: 413,
            reason: "body_too_large",
            dropped_reason: "rejected-too-large",
            message: format!(
                "The request body is larger than the limit of {limit} bytes. Send a smaller request, or ask the \
                 operator to raise the picker's --body-limit."
            ),
            retry_after: None,
        }
    }

    /// 503: no decision within the deadline.
    pub fn deadline() -> Self {
        Self {
            status: 503,
            reason: "decision_deadline",
            dropped_reason: "rejected-ttl-expired",
            message: "No endpoint was chosen within the decision deadline.".to_owned(),
            retry_after: Some(1),
        }
    }

    /// The `error` object of OpenAI's APIs, wrapped: `{"error":{"message","type","param","code"}}`.
    pub fn body(&self) -> String {
        let kind = match self.status {
            400..=428 => "invalid_request_error",
            429 => "rate_limit_error",
            _ => "server_error",
        };
        let mut body = String::with_capacity(self.message.len() + 128);
        body.push_str("{\"error\":{\"message\":");
        push_json_string(&mut body, &self.message);
        body.push_str(",\"type\":\"");
        body.push_str(kind);
        body.push_str("\",\"param\":null,\"code\":\"");
        body.push_str(self.reason);
        body.push_str("\"}}");
        body
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let status = refusal.status();
        Self {
            status,
            reason: refusal.reason(),
            dropped_reason: if status == 503 { "rejected-no-endpoints" } else { "rejected-does-not-fit" },
            message: refusal.to_string(),
            retry_after: (status == 503).then_some(1),
        }
    }
}

impl From<Shed> for Refused {
    fn from(shed: Shed) -> Self {
        Self {
            status: shed.status(),
            reason: shed.reason(),
            dropped_reason: shed.dropped_reason(),
            message: shed.to_string(),
            retry_after: Some(shed.retry_after()),
        }
    }
}

fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a String cannot fail"),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_the_openai_shape_and_is_json() {
        let mut refused = Refused::too_large(33_554_432);
        refused.message.push_str(" \"quoted\" \\ \n");
        let body: serde_json::Value = serde_json::from_str(&refused.body()).unwrap();
        let error = body["error"].as_object().unwrap();
        assert_eq!(error.keys().collect::<Vec<_>>(), ["code", "message", "param", "type"]);
        assert_eq!(error["message"], refused.message);
        assert_eq!(error["type"], "invalid_request_error");
        assert_eq!(error["code"], "body_too_large");
        assert!(refused.message.contains("33554432"), "names the limit");
    }

    #[test]
    fn retry_after_is_given_where_a_retry_may_help() {
        assert_eq!(Refused::from(Refusal::NoEndpoints).retry_after, Some(1));
        assert_eq!(Refused::from(Refusal::DoesNotFit { prompt_tokens: 2, largest: 1 }).retry_after, None);
    }

    #[test]
    fn what_is_shed_says_so_in_status_reason_and_retry() {
        let (waited, retry_after) = (std::time::Duration::from_millis(1500), 7);
        for (shed, status, reason, dropped, kind, retry) in [
            (Shed::Full { in_flight: 2, bound: 1 }, 429, "full", "rejected-saturated", "rate_limit_error", 1),
            (
                Shed::QueueFull { waiting: 9, retry_after },
                429,
                "queue_full",
                "rejected-saturated",
                "rate_limit_error",
                7,
            ),
            (Shed::Saturated { retry_after }, 429, "saturated", "rejected-saturated", "rate_limit_error", 7),
            (Shed::Displaced { retry_after }, 429, "displaced", "rejected-saturated", "rate_limit_error", 7),
            (Shed::Evicted { retry_after }, 429, "evicted", "evicted", "rate_limit_error", 7),
            (
                Shed::Expired { waited, retry_after },
                503,
                "queue_timeout",
                "rejected-ttl-expired",
                "server_error",
                7,
            ),
            (
                Shed::ClientDeadline { waited, retry_after },
                503,
                "client_deadline",
                "rejected-ttl-expired",
                "server_error",
                7,
            ),
            (
                Shed::NoEndpoints { waited, retry_after },
                503,
                "no_endpoints",
                "rejected-no-endpoints",
                "server_error",
                7,
            ),
            (Shed::ShuttingDown, 503, "shutting_down", "rejected-shutting-down", "server_error", 1),
        ] {
            let refused = Refused::from(shed);
            assert_eq!((refused.status, refused.reason, refused.dropped_reason), (status, reason, dropped));
            assert_eq!(refused.retry_after, Some(retry));
            let body: serde_json::Value = serde_json::from_str(&refused.body()).unwrap();
            assert_eq!(body["error"]["type"], kind);
            assert_eq!(body["error"]["code"], reason);
            assert!(reason.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{reason}");
        }
    }
}
