//! The frames are what Envoy's own messages decode to.

use envoy_types::pb::envoy::extensions::filters::http::ext_proc::v3::processing_mode::{
    BodySendMode, HeaderSendMode,
};
use envoy_types::pb::envoy::service::ext_proc::v3 as pb;
use pb::processing_response::Response;
use prost::Message as _;

use super::*;

fn decode(reply: Reply) -> pb::ProcessingResponse {
    let mut frames: Vec<Bytes> = Vec::new();
    reply.encode(&mut frames);
    let frame = frames.concat();
    assert_eq!(frame[0], 0, "not compressed");
    assert_eq!(u32::from_be_bytes(frame[1..5].try_into().unwrap()) as usize, frame.len() - 5);
    pb::ProcessingResponse::decode(&frame[5..]).unwrap()
}

fn headers(mutation: Option<pb::HeaderMutation>) -> Vec<(String, String, i32)> {
    let mutation = mutation.unwrap();
    assert_eq!(mutation.remove_headers, Vec::<String>::new());
    let set = mutation.set_headers.into_iter().map(|o| (o.header.unwrap(), o.append_action));
    set.map(|(h, action)| (h.key, String::from_utf8(h.raw_value).unwrap(), action)).rev().collect()
}

#[test]
fn empty_answers_name_their_part() {
    let empty = |r| match r {
        Some(Response::RequestHeaders(r)) => (1, r.response.is_none()),
        Some(Response::ResponseHeaders(r)) => (2, r.response.is_none()),
        Some(Response::RequestBody(r)) => (3, r.response.is_none()),
        Some(Response::ResponseBody(r)) => (4, r.response.is_none()),
        Some(Response::RequestTrailers(r)) => (5, r.header_mutation.is_none()),
        Some(Response::ResponseTrailers(r)) => (6, r.header_mutation.is_none()),
        other => panic!("{other:?}"),
    };
    for part in [
        Part::RequestHeaders,
        Part::ResponseHeaders,
        Part::RequestBody,
        Part::ResponseBody,
        Part::RequestTrailers,
        Part::ResponseTrailers,
    ] {
        assert_eq!(empty(decode(Reply::Continue(part)).response), (part as u32, true));
    }
}

#[test]
fn a_destination_is_a_header_and_the_same_metadata() {
    let endpoints = "10.0.0.1:8000,[fd00::1]:8000";
    for (part, content_length, body) in [
        (Part::RequestHeaders, Some(7), None),
        (Part::RequestHeaders, None, None),
        (Part::RequestBody, Some(2), Some(Bytes::from_static(b"{}"))),
        (Part::RequestTrailers, None, None),
    ] {
        let reply = Reply::Destination {
            part,
            endpoints: endpoints.to_owned(),
            prefiller: Prefiller::Untold,
            content_length,
            body: body.clone(),
        };
        let decoded = decode(reply);
        let lb = decoded.dynamic_metadata.unwrap().fields["envoy.lb"].clone();
        let lb = format!("{lb:?}");
        assert!(lb.contains("x-gateway-destination-endpoint") && lb.contains(endpoints), "{lb}");
        let common = match decoded.response.unwrap() {
            Response::RequestHeaders(r) => r.response.unwrap(),
            Response::RequestBody(r) => r.response.unwrap(),
            Response::RequestTrailers(r) => {
                assert_eq!(r.header_mutation, None);
                continue;
            }
            other => panic!("{other:?}"),
        };
        assert!(!common.clear_route_cache);
        let mut expected = vec![(DESTINATION.to_owned(), endpoints.to_owned(), 2)];
        if let Some(n) = content_length {
            expected.insert(0, ("content-length".to_owned(), n.to_string(), 2));
        }
        let mut set = headers(common.header_mutation);
        set.sort();
        assert_eq!(set, expected);
        let mutation = common.body_mutation.and_then(|m| m.mutation);
        assert_eq!(mutation, body.map(|b| pb::body_mutation::Mutation::Body(b.to_vec())));
    }
}

#[test]
fn the_prefiller_is_a_header_that_clients_cannot_set() {
    for (prefiller, set, removed) in [
        (Prefiller::Other("10.0.0.9:8000".to_owned()), Some("10.0.0.9:8000"), vec![]),
        (Prefiller::Itself, None, vec![PREFILLER.to_owned()]),
        (Prefiller::Untold, None, vec![]),
    ] {
        let part = Part::RequestHeaders;
        let endpoints = "10.0.0.1:8000".to_owned();
        let reply = Reply::Destination { part, endpoints, prefiller, content_length: None, body: None };
        let Some(Response::RequestHeaders(headers)) = decode(reply).response else { panic!("no headers") };
        let mutation = headers.response.unwrap().header_mutation.unwrap();
        let value =
            mutation.set_headers.iter().filter_map(|o| o.header.as_ref()).find(|h| h.key == PREFILLER);
        assert_eq!(value.map(|h| std::str::from_utf8(&h.raw_value).unwrap()), set);
        assert_eq!(mutation.remove_headers, removed);
    }
}

#[test]
fn streamed_bodies_carry_bytes_and_end() {
    for (data, end_of_stream) in
        [(&b""[..], true), (b"x", false), (&[7; 200], true), (&[9; 62_000], true), (&[9; 62_000], false)]
    {
        for part in [Part::RequestBody, Part::ResponseBody] {
            let reply = Reply::Streamed { part, data: Bytes::from_static(data), end_of_stream };
            let common = match decode(reply).response.unwrap() {
                Response::RequestBody(r) if part == Part::RequestBody => r.response.unwrap(),
                Response::ResponseBody(r) if part == Part::ResponseBody => r.response.unwrap(),
                other => panic!("{other:?}"),
            };
            let Some(pb::body_mutation::Mutation::StreamedResponse(streamed)) =
                common.body_mutation.and_then(|m| m.mutation)
            else {
                panic!("no streamed response")
            };
            assert_eq!((&streamed.body[..], streamed.end_of_stream), (data, end_of_stream));
        }
    }
}

#[test]
fn rewritten_responses_lose_their_length_and_are_sent_here() {
    for (pull, rewrites, told) in [
        (false, true, None),
        (true, true, None),
        (true, false, None),
        (true, true, Some("a")),
        (false, false, Some("")),
    ] {
        let decoded = decode(Reply::Response { pull, rewrites, told: told.map(str::to_owned) });
        let Some(Response::ResponseHeaders(answer)) = decoded.response else { panic!("no headers") };
        let mutation = answer.response.map(|r| r.header_mutation.unwrap());
        assert_eq!(mutation.is_some(), rewrites || told.is_some());
        let removed = mutation.as_ref().map(|mutation| mutation.remove_headers.clone()).unwrap_or_default();
        assert_eq!(removed.len(), usize::from(rewrites), "{removed:?}");
        let mutation = mutation.map(|mutation| pb::HeaderMutation { remove_headers: vec![], ..mutation });
        let set = headers(Some(mutation.unwrap_or_default()));
        let set: Vec<(&str, &str)> = set.iter().map(|set| (&*set.0, &*set.1)).collect();
        assert_eq!(set, told.map(|told| ("x-signalbox-decision", told)).into_iter().collect::<Vec<_>>());
        let mode = decoded.mode_override.map(|m| (m.response_body_mode(), m.response_trailer_mode()));
        assert_eq!(mode, pull.then_some((BodySendMode::Streamed, HeaderSendMode::Send)));
    }
    for body in [&b"x"[..], b""] {
        let decoded = decode(Reply::Replaced(Bytes::from_static(body)));
        let Some(Response::ResponseBody(replaced)) = decoded.response else { panic!("no body") };
        let mutation = replaced.response.unwrap().body_mutation.unwrap().mutation;
        assert_eq!(mutation, Some(pb::body_mutation::Mutation::Body(body.to_vec())), "also when it is empty");
    }
}

#[test]
fn an_immediate_response_has_status_reason_and_body() {
    let refused = Refused::deadline();
    let Some(Response::ImmediateResponse(immediate)) = decode(Reply::Immediate(refused.clone())).response
    else {
        panic!("no immediate response")
    };
    assert_eq!(immediate.status.unwrap().code, 503);
    assert_eq!(immediate.body, refused.body().into_bytes());
    assert_eq!(immediate.details, "decision_deadline");
    let set = headers(immediate.headers);
    let get = |name: &str| set.iter().find(|h| h.0 == name).map(|h| h.1.as_str());
    assert_eq!(get("content-type"), Some("application/json"));
    assert_eq!(get("x-signalbox-reason"), Some("decision_deadline"));
    assert_eq!(get("x-llm-d-request-dropped-reason"), Some("rejected-ttl-expired"));
    assert_eq!(get("retry-after"), Some("1"));
}
