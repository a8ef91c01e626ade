//! Traces: what was decided of a request, and what became of it, as OpenTelemetry spans over OTLP (gRPC).
//!
//! ```text
//! traceparent ─ sampled? ─▶ Trace ─ decided ─▶ span "pick" ─────────────────┐
//!                              └─ Running (first token, usage, end) ─ drop ──┤▶ queue (bounded) ─▶ export task ─▶ collector
//!                                                                            └─ full: dropped and counted
//! ```
//! Off unless an endpoint is set. Requests that are not sampled cost a look at their `traceparent`, and allocate nothing.
//!
//! | span | kind | from, to | attributes |
//! |---|---|---|---|
//! | `pick` | internal | the end of the request, the decision | `gen_ai.operation.name`, `gen_ai.request.model`, `server.address`, `server.port`, `signalbox.pool`, `signalbox.target_model`, `signalbox.objective`, `signalbox.priority`, `signalbox.accelerator`, `signalbox.prompt_tokens`, `signalbox.cached_tokens`, `signalbox.expected_ttft` and `signalbox.queue_wait` (seconds); of a refusal `error.type` (its reason), `http.response.status_code` |
//! | `chat MODEL` and the like | client | the decision, the end | `gen_ai.operation.name`, `gen_ai.request.model`, `server.address`, `server.port`, `signalbox.pool`, `gen_ai.usage.input_tokens`, `gen_ai.usage.output_tokens`, `gen_ai.usage.cache_read.input_tokens`; `error.type` of errors, `cut` when it ended before its first token; event `first_token` |
//!
//! Both are children of the request's `traceparent`, and roots of a trace without one. The first token is the first byte of the
//! answer's body, or its headers where bodies are not sent here; usage is told where answers are read (`--read-answers`).
//!
//! | variable | default | |
//! |---|---|---|
//! | `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT` | none: off | `http://HOST:4317`, or `https://` |
//! | `OTEL_EXPORTER_OTLP_HEADERS`, `…_TIMEOUT`, and those with `…_TRACES_…` | | as the OTLP exporter specifies |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | `parentbased_always_on` | `always_on`, `always_off`, `traceidratio`, and each with `parentbased_` before it |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | `signalbox-picker` | what the spans say that they are of |
//! | `OTEL_BSP_MAX_QUEUE_SIZE`, `…_MAX_EXPORT_BATCH_SIZE`, `…_SCHEDULE_DELAY` | 2048, 512, 5000 (ms) | the queue |
//! | `OTEL_SDK_DISABLED=true`, `OTEL_TRACES_EXPORTER=none` | | off |
//!
//! | metric `signalbox_picker_…` | labels | |
//! |---|---|---|
//! | `spans_total` | result | `exported`, `dropped` because the queue was full, `failed` to be exported |

mod collector;
mod export;
mod recorder;
mod running;
mod sampling;
mod settings;
#[cfg(test)]
mod tests;

pub use collector::SpanCollector;
pub use export::Export;
pub use recorder::{Chosen, Spans, Trace};
pub use running::Running;
pub use sampling::Sampling;
pub use settings::Settings;
