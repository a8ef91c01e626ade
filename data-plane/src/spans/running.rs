//! The span of a request that runs. Its end, whatever the reason, is when this is dropped.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry::trace::{Event, Status};
use opentelemetry_sdk::trace::SpanData;

use super::recorder::{Spans, server, wall};
use crate::outcome::Usage;

/// A span that is not over.
#[derive(Debug)]
pub struct Running {
    spans: Arc<Spans>,
    /// Taken when it is sent.
    span: Option<SpanData>,
    endpoint: SocketAddr,
    usage: Usage,
    begun: bool,
    error: Option<Cow<'static, str>>,
}

impl Running {
    pub(super) fn new(spans: Arc<Spans>, span: SpanData, endpoint: SocketAddr) -> Self {
        Self { spans, span: Some(span), endpoint, usage: Usage::default(), begun: false, error: None }
    }

    /// Envoy used this endpoint.
    pub fn served(&mut self, endpoint: SocketAddr) {
        self.endpoint = endpoint;
    }

    /// The first byte of the answer came at `now`.
    pub fn first_byte(&mut self, now: Instant) {
        self.begun = true;
        if let Some(span) = &mut self.span {
            span.events.events.push(Event::new("first_token", wall(now)(now), Vec::new(), 0));
        }
    }

    /// The answer is an error of `status`; 0: the endpoint gave none.
    pub fn failed(&mut self, status: u16) {
        self.error = Some(status.to_string().into());
    }

    /// It is ended here for this reason.
    pub fn refused(&mut self, reason: &'static str) {
        self.error = Some(reason.into());
    }

    /// What the answer says of itself.
    pub fn used(&mut self, usage: Usage) {
        self.usage = usage;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut span) = self.span.take() else { return };
        span.end_time = SystemTime::now();
        span.attributes.extend(server(self.endpoint));
        let Usage { prompt_tokens, cached_tokens, output_tokens } = self.usage;
        let counts = [
            ("gen_ai.usage.input_tokens", prompt_tokens),
            ("gen_ai.usage.cache_read.input_tokens", cached_tokens),
            ("gen_ai.usage.output_tokens", output_tokens),
        ];
        let counts =
            counts.into_iter().filter_map(|(key, count)| Some(KeyValue::new(key, i64::from(count?))));
        span.attributes.extend(counts);
        let cut = || (!self.begun).then_some("cut".into());
        if let Some(error) = self.error.take().or_else(cut) {
            span.attributes.push(KeyValue::new("error.type", error.to_string()));
            span.status = Status::error(error);
        }
        self.spans.send(span);
    }
}
