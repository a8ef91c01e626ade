//! What operators choose about the proxies' configuration.

use std::time::Duration;

/// Settings of the translation, the same for all Gateways.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Bytes of a request body that the proxy holds when it has to look into it; longer ones are refused with 413.
    /// Bodies that nothing has to look into are not limited.
    pub body_limit_bytes: u32,
    /// Longest wait for an endpoint picker's decision, its queue included. Envoy's own timeout is a little longer.
    pub picker_deadline: Duration,
    /// Where access logs go.
    pub access_log: AccessLog,
    /// Longest silence on a stream: bounds the time to first token and the gap between tokens.
    pub stream_idle_timeout: Duration,
    /// Headers with underscores in their names.
    pub headers_with_underscores: HeadersWithUnderscores,
    /// Trusted proxies in front, for `x-forwarded-for`.
    pub xff_trusted_hops: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_limit_bytes: 32 << 20,
            picker_deadline: Duration::from_secs(30),
            access_log: AccessLog::Stdout,
            stream_idle_timeout: Duration::from_secs(600),
            headers_with_underscores: HeadersWithUnderscores::Allow,
            xff_trusted_hops: 0,
        }
    }
}

/// Where access logs go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AccessLog {
    /// The proxy's standard output.
    Stdout,
    /// A file.
    File(String),
    /// Nowhere.
    None,
}

/// What happens to request headers with underscores in their names.
///
/// Envoy's edge guide rejects such requests because some backends read `a_b` as `a-b`, which would let a client forge
/// a header that the proxy sets. Nothing here folds the two: routes and pickers read exact names, and model servers
/// are ASGI or native servers that keep them apart. Client libraries do send such headers, so they pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadersWithUnderscores {
    /// Forwarded.
    Allow,
    /// The request is refused with 400.
    Reject,
    /// The headers are dropped.
    Drop,
}
