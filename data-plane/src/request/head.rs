//! The request headers that decisions read.

use std::time::Duration;

use bytes::Bytes;

use super::{Traceparent, patience, tenant};
use crate::accelerator::Wishes;

/// Headers of a request; the rest is not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// `:path`, with its query.
    pub path: Bytes,
    /// `content-length`, when it is a number.
    pub content_length: Option<usize>,
    /// `x-gateway-inference-objective`, or llm-d's name of it.
    pub objective: Option<Bytes>,
    /// `x-gateway-model-name-rewrite`, or llm-d's name of it: the model to send instead, unless a rule says another.
    pub model_rewrite: Option<Bytes>,
    /// Who sent it, as a hash; [`tenant::UNNAMED`] when it does not say.
    pub tenant: u64,
    /// How long its client waits; the shortest that it tells.
    pub patience: Option<Duration>,
    /// `x-request-id`.
    pub request_id: Option<Bytes>,
    /// What it wants of accelerators.
    pub wishes: Wishes,
    /// `x-signalbox-explain: true`: its decision should be recorded.
    pub explain: bool,
    /// `traceparent`: the trace that it belongs to.
    pub traceparent: Option<Traceparent>,
    /// `tracestate`, as it came.
    pub tracestate: Option<Bytes>,
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
            b"x-signalbox-explain" => self.explain = matches!(value.trim_ascii(), b"true" | b"1"),
            b"traceparent" => self.traceparent = Traceparent::parse(value),
            b"tracestate" => self.tracestate = Some(keep(value)),
            b"x-request-id" => self.request_id = Some(keep(value)),
            b"x-gateway-inference-objective" | b"x-llm-d-inference-objective" if !value.is_empty() => {
                self.objective = Some(keep(value));
            }
            b"x-gateway-model-name-rewrite" | b"x-llm-d-model-name-rewrite" if !value.is_empty() => {
                self.model_rewrite = Some(keep(value));
            }
            _ if name.starts_with(b"x-") && self.wishes.take(name, value) => {}
            _ => {
                if let Some(told) = patience::of(name, value) {
                    self.patience = Some(self.patience.map_or(told, |before| before.min(told)));
                }
            }
        }
    }

    /// Until when the first token should be there, as its headers wish.
    pub fn ttft_target(&self) -> Option<Duration> {
        self.wishes.ttft_ms.map(|millis| Duration::from_millis(millis.into()))
    }
}
