//! What Envoy's own messages encode to is what is read.

use std::time::Duration;

use crate::accelerator::Wishes;
use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::ext_proc::v3 as pb;
use envoy_types::pb::google::protobuf as wkt;
use pb::processing_request::Request;
use prost::Message as _;

use super::*;
use crate::picker::SubsetEntry;
use crate::request::{Traceparent, tenant};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn read(request: Request, metadata: Option<core::Metadata>) -> Message {
    let config =
        pb::ProtocolConfiguration { request_body_mode: 2, response_body_mode: 4, ..Default::default() };
    let message = pb::ProcessingRequest {
        request: Some(request),
        metadata_context: metadata,
        protocol_config: Some(config),
        attributes: HashMap::from([("envoy.filters.http.ext_proc".to_owned(), wkt::Struct::default())]),
        observability_mode: true,
        ..Default::default()
    };
    Message::decode(&Bytes::from(message.encode_to_vec()), None).unwrap()
}

fn headers(pairs: &[(&str, &str)], end_of_stream: bool) -> pb::HttpHeaders {
    let headers = pairs
        .iter()
        .enumerate()
        .map(|(i, (key, value))| match i % 2 {
            0 => core::HeaderValue {
                key: (*key).to_owned(),
                raw_value: value.as_bytes().to_vec(),
                ..Default::default()
            },
            _ => {
                core::HeaderValue { key: (*key).to_owned(), value: (*value).to_owned(), ..Default::default() }
            }
        })
        .collect();
    pb::HttpHeaders { headers: Some(core::HeaderMap { headers }), end_of_stream, ..Default::default() }
}

fn value(kind: wkt::value::Kind) -> wkt::Value {
    wkt::Value { kind: Some(kind) }
}

fn metadata(namespace: &str, key: &str, kind: wkt::value::Kind) -> Option<core::Metadata> {
    let fields = HashMap::from([
        (key.to_owned(), value(kind)),
        ("other".to_owned(), value(wkt::value::Kind::NumberValue(1.0))),
    ]);
    let filter_metadata = HashMap::from([(namespace.to_owned(), wkt::Struct { fields })]);
    Some(core::Metadata { filter_metadata, ..Default::default() })
}

#[test]
fn request_headers_are_reduced_to_those_that_matter() {
    let sent = headers(
        &[
            (":path", "/v1/chat/completions?x=1"),
            ("content-length", "12"),
            ("cookie", "secret"),
            ("x-llm-d-inference-objective", "gold"),
            ("x-llm-d-model-name-rewrite", "sql"),
            ("x-request-id", "r1"),
            ("x-llm-d-inference-fairness-id", "team-a"),
            ("x-stainless-read-timeout", "600"),
            ("grpc-timeout", "3S"),
            ("x-slo-ttft-ms", "500"),
            ("x-signalbox-explain", "true"),
            ("traceparent", TRACE),
            ("tracestate", "vendor=x"),
        ],
        true,
    );
    let message = read(Request::RequestHeaders(sent), None);
    let head = Head {
        path: Bytes::from_static(b"/v1/chat/completions?x=1"),
        content_length: Some(12),
        objective: Some(Bytes::from_static(b"gold")),
        model_rewrite: Some(Bytes::from_static(b"sql")),
        request_id: Some(Bytes::from_static(b"r1")),
        tenant: tenant::of(b"team-a"),
        patience: Some(Duration::from_secs(3)),
        wishes: Wishes { ttft_ms: Some(500), ..Wishes::default() },
        explain: true,
        traceparent: Traceparent::parse(TRACE.as_bytes()),
        tracestate: Some(Bytes::from_static(b"vendor=x")),
    };
    assert_eq!(head.ttft_target(), Some(Duration::from_millis(500)));
    assert_eq!(message.event, Event::RequestHeaders { head, end_of_stream: true });
    assert_eq!(message.modes, Some(Modes { request: BodyMode::Buffered, response: BodyMode::FullDuplex }));
}

#[test]
fn every_kind_of_message_is_known() {
    let body = |end_of_stream| pb::HttpBody { body: b"ab".to_vec(), end_of_stream, ..Default::default() };
    let chunk = |end_of_stream| Chunk { data: Bytes::from_static(b"ab"), end_of_stream };
    let trailers = || pb::HttpTrailers { trailers: Some(core::HeaderMap::default()) };
    for (sent, event) in [
        (Request::RequestBody(body(true)), Event::RequestBody(chunk(true))),
        (Request::ResponseBody(body(false)), Event::ResponseBody(chunk(false))),
        (Request::RequestTrailers(trailers()), Event::RequestTrailers),
        (Request::ResponseTrailers(trailers()), Event::ResponseTrailers),
        (
            Request::ResponseHeaders(headers(&[(":status", "503"), ("x", "y")], false)),
            Event::ResponseHeaders { status: 503, content: Content::Other, end_of_stream: false },
        ),
    ] {
        assert_eq!(read(sent, None).event, event);
    }
}

#[test]
fn only_plain_json_and_events_are_read() {
    for (sent, expected) in [
        (&[("content-type", "application/json")][..], Content::Json),
        (&[("content-type", "Text/Event-Stream; charset=utf-8")], Content::Events),
        (&[("content-encoding", "identity"), ("content-type", "application/json")], Content::Json),
        (&[("content-encoding", "gzip"), ("content-type", "application/json")], Content::Other),
        (&[("content-type", "application/jsonl")], Content::Other),
        (&[], Content::Other),
    ] {
        let Event::ResponseHeaders { content, .. } =
            read(Request::ResponseHeaders(headers(sent, false)), None).event
        else {
            panic!("not headers")
        };
        assert_eq!(content, expected, "{sent:?}");
    }
}

#[test]
fn a_body_is_a_slice_of_its_message() {
    let body = pb::HttpBody { body: vec![7; 1000], end_of_stream: true, ..Default::default() };
    let message = pb::ProcessingRequest { request: Some(Request::RequestBody(body)), ..Default::default() };
    let bytes = Bytes::from(message.encode_to_vec());
    let Event::RequestBody(chunk) = Message::decode(&bytes, None).unwrap().event else {
        panic!("not a body")
    };
    assert!(bytes.as_ptr_range().contains(&chunk.data.as_ptr()));
}

#[test]
fn subset_hints_are_lists_or_texts() {
    use wkt::value::Kind;
    let list = |items: &[&str]| {
        let values = items.iter().map(|i| value(Kind::StringValue((*i).to_owned()))).collect();
        Kind::ListValue(wkt::ListValue { values })
    };
    let entry = |ip: &str, port| SubsetEntry { ip: ip.parse().unwrap(), port };
    let both = vec![entry("10.0.0.1", Some(8000)), entry("fd00::1", None)];
    for (kind, subset) in [
        (list(&["10.0.0.1:8000", "fd00::1"]), Some(both.clone())),
        (Kind::StringValue("10.0.0.1:8000, [fd00::1]".to_owned()), Some(both)),
        (list(&[]), Some(vec![])),
        (Kind::StringValue(String::new()), Some(vec![])),
        (Kind::BoolValue(true), Some(vec![])),
    ] {
        let metadata =
            metadata("envoy.lb.subset_hint", "x-gateway-destination-endpoint-subset", kind.clone());
        let read = read(Request::RequestBody(pb::HttpBody::default()), metadata);
        assert_eq!(read.metadata.subset, subset, "{kind:?}");
    }
    let elsewhere = metadata("envoy.lb", "x-gateway-destination-endpoint-subset", list(&["10.0.0.1"]));
    assert_eq!(read(Request::RequestBody(pb::HttpBody::default()), elsewhere).metadata, Metadata::default());
}

#[test]
fn the_served_endpoint_is_read() {
    for text in ["10.0.0.1:8000", "[fd00::1]:8000"] {
        let kind = wkt::value::Kind::StringValue(text.to_owned());
        let metadata = metadata("envoy.lb", "x-gateway-destination-endpoint-served", kind);
        let message = read(Request::ResponseHeaders(headers(&[], false)), metadata);
        assert_eq!(message.metadata.served, Some(text.parse().unwrap()));
    }
}
