//! Spans of one decision: who is traced, and what its span says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tokio::sync::mpsc;

use super::export::Item;
use super::running::Running;
use super::sampling::Sampling;
use crate::decisions::{Asked, Result as Decided};
use crate::request::{Head, Traceparent};

/// Makes spans and hands them on to be exported.
#[derive(Debug)]
pub struct Spans {
    sampling: Sampling,
    scope: InstrumentationScope,
    queue: mpsc::Sender<Item>,
    dropped: AtomicU64,
}

/// One request that is traced.
#[derive(Debug)]
pub struct Trace {
    spans: Arc<Spans>,
    id: TraceId,
    parent: SpanId,
    state: TraceState,
}

/// Where a request went, as spans tell it.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    /// The accelerator class of the endpoint.
    pub class: &'a str,
    /// Expected time to the first token.
    pub expected_ttft: Duration,
    /// Prompt tokens that are expected to be cached.
    pub cached_tokens: u32,
}

impl Spans {
    pub(super) fn new(sampling: Sampling, queue: mpsc::Sender<Item>) -> Self {
        let scope = InstrumentationScope::builder("signalbox-picker");
        let scope = scope.with_version(env!("CARGO_PKG_VERSION")).build();
        Self { sampling, scope, queue, dropped: AtomicU64::new(0) }
    }

    /// The trace of a request with `head`; None when it is not traced.
    #[must_use]
    pub fn begin(self: &Arc<Self>, head: &Head) -> Option<Trace> {
        let parent = head.traceparent.as_ref();
        let id = parent.map_or_else(|| fastrand::u128(1..), |parent: &Traceparent| parent.trace);
        if !self.sampling.samples(parent, id) {
            return None;
        }
        let state = head.tracestate.as_deref().and_then(|state| std::str::from_utf8(state).ok());
        let state = state.filter(|_| parent.is_some()).and_then(|state| state.parse().ok());
        Some(Trace {
            spans: Arc::clone(self),
            id: TraceId::from_bytes(id.to_be_bytes()),
            parent: parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.span.to_be_bytes())),
            state: state.unwrap_or_default(),
        })
    }

    /// Spans that found the queue full.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    pub(super) fn queue(&self) -> &mpsc::Sender<Item> {
        &self.queue
    }

    pub(super) fn send(&self, span: SpanData) {
        if self.queue.try_send(Item::Span(Box::new(span))).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl Trace {
    /// Tells the decision for `pool`, made at `decided` on a request that `arrived` and waited in the queue in between.
    pub fn decided(
        &self,
        pool: &str,
        asked: &Asked,
        result: &Decided,
        chosen: Option<Chosen<'_>>,
        (arrived, decided, now): (Instant, Instant, Instant),
    ) {
        let at = wall(now);
        let mut span = self.span("pick".to_owned(), SpanKind::Internal, at(arrived), at(now));
        span.attributes = self.common(pool, asked);
        span.attributes.extend([
            KeyValue::new("signalbox.priority", i64::from(asked.priority)),
            KeyValue::new("signalbox.prompt_tokens", i64::from(asked.prompt_tokens)),
            KeyValue::new("signalbox.queue_wait", decided.saturating_duration_since(arrived).as_secs_f64()),
        ]);
        let named = [("signalbox.target_model", &asked.target), ("signalbox.objective", &asked.objective)];
        let named = named.into_iter().filter_map(|(key, value)| Some(KeyValue::new(key, value.clone()?)));
        span.attributes.extend(named);
        match result {
            Decided::Picked { endpoints, .. } => {
                span.attributes.extend(endpoints.first().into_iter().flat_map(|one| server(*one)));
            }
            Decided::Refused { reason, status, .. } => {
                span.status = Status::error(*reason);
                span.attributes.push(KeyValue::new("error.type", *reason));
                span.attributes.push(KeyValue::new("http.response.status_code", i64::from(*status)));
            }
        }
        if let Some(Chosen { class, expected_ttft, cached_tokens }) = chosen {
            span.attributes.extend([
                KeyValue::new("signalbox.accelerator", class.to_owned()),
                KeyValue::new("signalbox.expected_ttft", expected_ttft.as_secs_f64()),
                KeyValue::new("signalbox.cached_tokens", i64::from(cached_tokens)),
            ]);
        }
        self.spans.send(span);
    }

    /// The span of the request from `now` to its end, at `endpoint`.
    #[must_use]
    pub fn follow(
        self,
        pool: &str,
        asked: &Asked,
        endpoint: std::net::SocketAddr,
        now: Instant,
    ) -> Box<Running> {
        let at = wall(now)(now);
        let name = format!("{} {}", asked.operation, asked.model);
        let mut span = self.span(name, SpanKind::Client, at, at);
        span.attributes = self.common(pool, asked);
        Box::new(Running::new(self.spans, span, endpoint))
    }

    fn common(&self, pool: &str, asked: &Asked) -> Vec<KeyValue> {
        vec![
            KeyValue::new("gen_ai.operation.name", asked.operation),
            KeyValue::new("gen_ai.request.model", asked.model.clone()),
            KeyValue::new("signalbox.pool", pool.to_owned()),
        ]
    }

    fn span(&self, name: String, span_kind: SpanKind, start: SystemTime, end: SystemTime) -> SpanData {
        let id = SpanId::from_bytes(fastrand::u64(1..).to_be_bytes());
        SpanData {
            span_context: SpanContext::new(self.id, id, TraceFlags::SAMPLED, false, self.state.clone()),
            parent_span_id: self.parent,
            parent_span_is_remote: self.parent != SpanId::INVALID,
            span_kind,
            name: name.into(),
            start_time: start,
            end_time: end,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.spans.scope.clone(),
        }
    }
}

/// Times of day of moments before `now`.
pub(super) fn wall(now: Instant) -> impl Fn(Instant) -> SystemTime {
    let today = SystemTime::now();
    move |at| today - now.saturating_duration_since(at)
}

pub(super) fn server(endpoint: std::net::SocketAddr) -> [KeyValue; 2] {
    [
        KeyValue::new("server.address", endpoint.ip().to_string()),
        KeyValue::new("server.port", i64::from(endpoint.port())),
    ]
}
