//! The request headers that decisions read.

use std::time::Duration;

use bytes::Bytes;

use super::{patience, tenant};

/// Headers of a request; the rest is not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// `:path`, with its query.
    pub path: Bytes,
    /// `content-length`, when it is a number.
    pub content_length: Option<usize>,
    /// `x-gateway-inference-objective`, or llm-d's name of it.
    pub objective: Option<Bytes>,
    /// Who sent it, as a hash; [`tenant::UNNAMED`] when it does not say.
    pub tenant: u64,
    /// How long its client waits; the shortest that it tells.
    pub patience: Option<Duration>,
    /// Until when the first token should be there: `x-slo-ttft-ms`, or llm-d's name of it.
    pub ttft_target: Option<Duration>,
    /// `x-request-id`.
    pub request_id: Option<Bytes>,
}

impl Head {
    /// Takes one header; `keep` turns the value into a slice that outlives the message. `tenant_header` names the
    /// tenant, instead of the usual headers.
    pub fn take<'a>(
        &mut self,
        name: &[u8],
        value: &'a [u8],
        tenant_header: Option<&str>,
        keep: impl Fn(&'a [u8]) -> Bytes,
    ) {
        if tenant::is_named_by(name, tenant_header) {
            self.tenant = tenant::of(value);
        }
        match name {
            b":path" => self.path = keep(value),
            b"content-length" => {
                self.content_length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            }
            b"x-request-id" => self.request_id = Some(keep(value)),
            b"x-gateway-inference-objective" | b"x-llm-d-inference-objective" if !value.is_empty() => {
                self.objective = Some(keep(value));
            }
            b"x-slo-ttft-ms" | b"x-llm-d-slo-ttft-ms" => self.ttft_target = patience::millis(value),
            _ => {
                if let Some(told) = patience::of(name, value) {
                    self.patience = Some(self.patience.map_or(told, |before| before.min(told)));
                }
            }
        }
    }
}
