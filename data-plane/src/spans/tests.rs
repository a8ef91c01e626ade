//! Spans as a collector receives them: over gRPC, on a real socket.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use super::*;
use crate::decisions::{Asked, Result as Decided};
use crate::outcome::Usage;
use crate::request::{Head, Traceparent};

struct Collector(mpsc::Sender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).await.unwrap();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A collector, and where it is.
async fn collector(tasks: &mut JoinSet<()>) -> (String, mpsc::Receiver<ExportTraceServiceRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = mpsc::channel(16);
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
    let serve = server.serve_with_incoming(TcpListenerStream::new(listener));
    tasks.spawn(async move { serve.await.unwrap() });
    (format!("http://{address}"), received)
}

fn settings(endpoint: String) -> Settings {
    let delay = Duration::from_secs(60);
    Settings { endpoint, sampling: Sampling::default(), queue: 4, batch: 100, delay }
}

fn told(attributes: &[KeyValue]) -> BTreeMap<&str, String> {
    let text = |value: &AnyValue| match value.value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => format!("{number:.3}"),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|pair| (pair.key.as_str(), text(pair.value.as_ref().unwrap()))).collect()
}

fn is_told(span: &Span, expected: &[(&str, &str)]) {
    let attributes = told(&span.attributes);
    for (key, value) in expected {
        assert_eq!(attributes.get(key).map(String::as_str), Some(*value), "{key} of {attributes:?}");
    }
}

fn head(sampled: bool) -> Head {
    Head {
        traceparent: Some(Traceparent { trace: 0x00ab_cdef, span: 0x77, sampled }),
        tracestate: Some("vendor=x".into()),
        ..Head::default()
    }
}

fn asked() -> Asked {
    Asked {
        operation: "chat",
        model: "llama".to_owned(),
        priority: 100,
        prompt_tokens: 90,
        ..Asked::default()
    }
}

fn picked() -> Decided {
    Decided::Picked { endpoints: vec!["10.0.0.1:8000".parse().unwrap()], prefiller: None }
}

#[tokio::test]
async fn a_decision_and_its_request_are_spans_of_the_clients_trace() {
    let mut tasks = JoinSet::new();
    let (endpoint, mut received) = collector(&mut tasks).await;
    let (spans, export, collector) = Spans::to(&settings(endpoint)).unwrap();
    tasks.spawn(async move { export.run().await.unwrap() });
    let now = Instant::now();
    let arrived = now.checked_sub(Duration::from_millis(250)).unwrap();
    let trace = spans.begin(&head(true)).unwrap();
    let chosen = Chosen { class: "nvidia-l4", expected_ttft: Duration::from_millis(120), cached_tokens: 64 };
    trace.decided("ns/a", &asked(), &picked(), Some(chosen), (arrived, now, now));
    let mut running = trace.follow("ns/a", &asked(), "10.0.0.1:8000".parse().unwrap(), now);
    running.served("10.0.0.2:8001".parse().unwrap());
    running.first_byte(Instant::now());
    running.used(Usage { prompt_tokens: Some(91), cached_tokens: Some(64), output_tokens: Some(7) });
    drop(running);
    spans.flush(Duration::from_secs(10)).await;
    let export = received.recv().await.unwrap();
    let resource = told(&export.resource_spans[0].resource.as_ref().unwrap().attributes);
    assert_eq!(resource["service.name"], "signalbox-picker");
    let all = &export.resource_spans[0].scope_spans[0].spans;
    let [pick, request] = &all[..] else { panic!("two spans: {all:?}") };
    for span in all {
        assert_eq!(span.trace_id, 0x00ab_cdef_u128.to_be_bytes());
        assert_eq!(span.parent_span_id, 0x77_u64.to_be_bytes());
        assert_eq!(span.trace_state, "vendor=x");
        is_told(
            span,
            &[
                ("gen_ai.operation.name", "chat"),
                ("gen_ai.request.model", "llama"),
                ("signalbox.pool", "ns/a"),
            ],
        );
    }
    assert_eq!((pick.name.as_str(), request.name.as_str()), ("pick", "chat llama"));
    assert!(pick.end_time_unix_nano - pick.start_time_unix_nano >= 250_000_000);
    is_told(
        pick,
        &[
            ("server.address", "10.0.0.1"),
            ("signalbox.priority", "100"),
            ("signalbox.queue_wait", "0.250"),
            ("signalbox.expected_ttft", "0.120"),
            ("signalbox.accelerator", "nvidia-l4"),
        ],
    );
    is_told(
        request,
        &[
            ("server.address", "10.0.0.2"),
            ("server.port", "8001"),
            ("gen_ai.usage.input_tokens", "91"),
            ("gen_ai.usage.cache_read.input_tokens", "64"),
            ("gen_ai.usage.output_tokens", "7"),
        ],
    );
    assert_eq!(request.events[0].name, "first_token");
    let mut registry = Registry::default();
    registry.register_collector(Box::new(collector));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    assert!(text.contains(r#"spans_total{result="exported"} 2"#), "{text}");
}

#[tokio::test]
async fn refusals_name_their_reason_and_requests_that_were_cut_say_so() {
    let mut tasks = JoinSet::new();
    let (endpoint, mut received) = collector(&mut tasks).await;
    let (spans, export, _) = Spans::to(&settings(endpoint)).unwrap();
    tasks.spawn(async move { export.run().await.unwrap() });
    let now = Instant::now();
    let trace = spans.begin(&Head::default()).expect("a trace of its own");
    let refused = Decided::Refused { reason: "queue_full", status: 429, message: String::new() };
    trace.decided("ns/a", &asked(), &refused, None, (now, now, now));
    drop(trace.follow("ns/a", &asked(), "[::1]:8000".parse().unwrap(), now));
    spans.flush(Duration::from_secs(10)).await;
    let export = received.recv().await.unwrap();
    let all = &export.resource_spans[0].scope_spans[0].spans;
    is_told(&all[0], &[("error.type", "queue_full"), ("http.response.status_code", "429")]);
    is_told(&all[1], &[("error.type", "cut"), ("server.address", "::1")]);
    assert!(all.iter().all(|span| span.parent_span_id.is_empty() && span.status.as_ref().unwrap().code == 2));
    assert_eq!(all[0].trace_id, all[1].trace_id);
}

#[tokio::test]
async fn a_full_queue_drops_and_counts() {
    let (spans, export, _) = Spans::to(&settings("http://127.0.0.1:1".to_owned())).unwrap();
    let trace = spans.begin(&head(true)).unwrap();
    let now = Instant::now();
    for _ in 0..6 {
        trace.decided("ns/a", &asked(), &picked(), None, (now, now, now));
    }
    assert_eq!(spans.dropped(), 2);
    drop(export);
    assert!(
        Spans::to(&settings("not an address".to_owned())).unwrap_err().to_string().contains("not an address")
    );
}

#[tokio::test]
async fn requests_that_are_not_sampled_allocate_nothing() {
    let (spans, _export, _) = Spans::to(&settings("http://127.0.0.1:1".to_owned())).unwrap();
    let head = head(false);
    let info = allocation_counter::measure(|| assert!(spans.begin(&head).is_none()));
    assert_eq!(info.count_total, 0);
}
