//! The picker behind a real Envoy, in both modes: bodies of all sizes and framings, aborts, refusals, failure modes.

#[cfg(test)]
mod envoy;
#[cfg(test)]
mod process;
#[cfg(test)]
mod stack;
#[cfg(test)]
mod upstream;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use data_plane::flow::{Limits, Settings};
use futures_util::{StreamExt, stream};
use http::Method;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use stack::{BODY_LIMIT, Stack, chunked, refusal, snapshot, told, whole};

fn bytes(len: usize) -> Bytes {
    (0..len).map(|i| (i * 31 + i / 253) as u8).collect::<Vec<u8>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_arrive_as_they_were_sent() {
    for secure in [false, true] {
        let stack = Stack::start(secure).await;
        let servers: Vec<String> = stack.upstreams.addresses.iter().map(ToString::to_string).collect();
        for mode in ["/buffered", "/duplex"] {
            let get =
                told(stack.send(stack.request(Method::GET, mode, whole(Bytes::new())), false).await).await;
            assert_eq!((&get["method"], &get["length"]), (&"GET".into(), &0.into()));
            assert!(servers.iter().any(|s| get["server"] == **s));
            assert_eq!(
                get["headers"]["x-gateway-destination-endpoint"].as_str().unwrap().split(',').next(),
                get["server"].as_str()
            );
            for http2 in [false, true] {
                for len in [0, 1, 1000, 70_000, 1 << 20, 20 << 20] {
                    let sent = bytes(len);
                    let hash = xxhash_rust::xxh3::xxh3_64(&sent);
                    for (form, body) in [
                        ("whole", whole(sent.clone())),
                        ("chunked", chunked(&sent, 50_000, false)),
                        ("trailers", chunked(&sent, 50_000, true)),
                    ] {
                        if form == "trailers" && (!http2 || len > 1 << 20) || len == 20 << 20 && secure {
                            continue;
                        }
                        let what = format!("{mode} {form} {len} http2 {http2} secure {secure}");
                        let request = stack.request(Method::POST, mode, body);
                        let sent = tokio::time::timeout(Duration::from_secs(20), stack.send(request, http2));
                        let told = told(sent.await.expect(&what)).await;
                        assert_eq!((&told["length"], &told["hash"]), (&len.into(), &hash.into()), "{what}");
                        if mode == "/buffered" && form == "whole" {
                            assert_eq!(told["headers"]["content-length"], len.to_string(), "{what}");
                        }
                    }
                }
            }
        }
        stack.until_in_flight(0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_in_flight_until_its_response_ends() {
    let stack = Stack::start(false).await;
    for path in ["/buffered/hold", "/duplex/hold"] {
        for method in [Method::GET, Method::POST] {
            let body = whole(if method == Method::GET { Bytes::new() } else { bytes(100) });
            let mut response = stack.send(stack.request(method.clone(), path, body), false).await;
            response.body_mut().frame().await.unwrap().unwrap();
            stack.until_in_flight(1).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(stack.in_flight(), (1, 1), "{method} {path}: the response has not ended");
            stack.upstreams.release.add_permits(1);
            response.into_body().collect().await.unwrap();
            stack.until_in_flight(0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_go_away_leave_nothing_behind() {
    let stack = Stack::start(false).await;
    for mode in ["/buffered", "/duplex"] {
        // In the middle of the response.
        let request = stack.request(Method::POST, &format!("{mode}/hold"), whole(bytes(100)));
        let mut response = stack.send(request, false).await;
        response.body_mut().frame().await.unwrap().unwrap();
        stack.until_in_flight(1).await;
        drop(response);
        stack.until_in_flight(0).await;
        // In the middle of the request.
        let unfinished = stream::iter([Ok(Frame::data(bytes(200_000)))]).chain(stream::pending());
        let request = stack.request(Method::POST, mode, BodyExt::boxed(StreamBody::new(unfinished)));
        let sent = tokio::time::timeout(Duration::from_millis(500), stack.send(request, true)).await;
        assert!(sent.is_err(), "the request has not ended");
        until_streams(&stack, 0).await;
        assert_eq!(stack.in_flight(), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_wait_while_the_pool_is_full_and_clients_may_leave() {
    let limits = Limits { max_in_flight: 1, sheddable_in_flight: 1 };
    let stack = Stack::with(false, Settings { limits, ..Settings::default() }).await;
    for mode in ["/buffered", "/duplex"] {
        let request = stack.request(Method::POST, &format!("{mode}/hold"), whole(bytes(100)));
        let mut held = stack.send(request, false).await;
        held.body_mut().frame().await.unwrap().unwrap();
        for http2 in [false, true] {
            let request = stack.request(Method::POST, mode, whole(bytes(100)));
            let sent = tokio::time::timeout(Duration::from_millis(500), stack.send(request, http2)).await;
            assert!(sent.is_err(), "it waits, and its client leaves");
            stack.until_waiting(0).await;
        }
        let waits = stack.send(stack.request(Method::POST, mode, whole(bytes(70_000))), true);
        let release = async {
            stack.until_waiting(1).await;
            stack.upstreams.release.add_permits(1);
            held.into_body().collect().await.unwrap();
        };
        let (answered, ()) = tokio::join!(waits, release);
        assert_eq!(told(answered).await["length"], 70_000, "{mode}");
        stack.until_in_flight(0).await;
    }
    let cancelled = r#"priority="0",outcome="cancelled",reason=""} 4"#;
    assert!(stack.lanes.metrics.encode().contains(cancelled), "{}", stack.lanes.metrics.encode());
}

/// A request that has not begun to answer ends for a more important one: its client is told, its model server's work is
/// aborted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sheddable_request_in_flight_ends_for_a_more_important_one() {
    let limits = Limits { max_in_flight: 1, sheddable_in_flight: 1 };
    let stack = Stack::with(false, Settings { limits, ..Settings::default() }).await;
    let mut ended = 0;
    for mode in ["/buffered", "/duplex"] {
        for http2 in [false, true] {
            let mut low = stack.request(Method::POST, &format!("{mode}/think"), whole(bytes(70_000)));
            low.headers_mut().insert("x-gateway-inference-objective", "low".parse().unwrap());
            let standard = async {
                stack.until_in_flight(1).await;
                let standard = stack.request(Method::POST, mode, whole(bytes(100)));
                told(stack.send(standard, http2).await).await
            };
            let (low, standard) = tokio::join!(stack.send(low, http2), standard);
            assert_eq!(standard["length"], 100, "{mode}");
            assert_ne!(low.headers()["retry-after"], "", "{mode}");
            let (status, reason, body) = refusal(low).await;
            assert_eq!((status, &*reason), (429, "evicted"), "{mode}");
            assert_eq!(body["error"]["type"], "rate_limit_error");
            stack.until_in_flight(0).await;
            ended += 1;
            for _ in 0..200 {
                if stack.upstreams.aborted.load(Relaxed) == ended {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            assert_eq!(stack.upstreams.aborted.load(Relaxed), ended, "{mode}: the model server stops");
        }
    }
    // Where the pool says so, also one that answers already: its client sees that it did not get all.
    let mut any = snapshot(&stack.upstreams.addresses);
    any.changed[0].annotations.insert("signalbox.dev/eviction".to_owned(), "sheddable-any".to_owned());
    stack.lanes.pools().apply(any);
    for mode in ["/buffered", "/duplex"] {
        let mut low = stack.request(Method::POST, &format!("{mode}/hold"), whole(bytes(100)));
        low.headers_mut().insert("x-gateway-inference-objective", "low".parse().unwrap());
        let low = stack.send(low, true).await;
        let standard = stack.request(Method::POST, mode, whole(bytes(100)));
        assert_eq!(told(stack.send(standard, true).await).await["length"], 100, "{mode}");
        assert!(low.into_body().collect().await.is_err(), "{mode}: it is cut");
        stack.until_in_flight(0).await;
    }
    let line = r#"signalbox_picker_evictions_total{pool="ns/pool",priority="-1"} 6"#;
    assert!(stack.lanes.metrics.encode().contains(line), "{}", stack.lanes.metrics.encode());
    let all = stack.lanes.decisions.newest(None, 100);
    let evicted = all.iter().filter(|record| record.happened().refused == Some("evicted"));
    assert_eq!(evicted.count(), 6, "records say so");
}

/// Prompts for a model with a tokenizer are counted, short ones and such as are counted on a thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_are_counted_with_the_models_tokenizer() {
    let stack = Stack::start(false).await;
    for _ in 0..200 {
        if stack.counter.shelf().get("counted").is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    for mode in ["/buffered/v1/completions", "/duplex/v1/completions"] {
        for words in [7, 30_000] {
            for (model, counted) in [("counted", true), ("other", false)] {
                let prompt = "word ".repeat(words);
                let sent = Bytes::from(format!("{{\"model\":\"{model}\",\"prompt\":\"{prompt}\"}}"));
                let mut request = stack.request(Method::POST, mode, whole(sent));
                request.headers_mut().insert("x-signalbox-explain", "true".parse().unwrap());
                let told = told(stack.send(request, false).await).await;
                let id = told["headers"]["x-request-id"].as_str().unwrap();
                let records = stack.lanes.decisions.of(id);
                let asked = &records[0].asked;
                assert_eq!(asked.counted, counted, "{mode} {words}");
                assert_eq!(asked.prompt_tokens == words as u32, counted, "{mode} {}", asked.prompt_tokens);
            }
        }
    }
    stack.until_in_flight(0).await;
    // The model servers of this test report half the bytes as tokens: the file is another model's.
    assert_eq!(stack.counter.checks(), (0, 4));
}

/// What is explained is what was answered: the endpoint, in the ring and in the response's header.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explained_pick_is_the_endpoint_that_answered() {
    let stack = Stack::start(false).await;
    let mut served = std::collections::BTreeSet::new();
    for mode in ["/buffered/v1/completions", "/duplex/v1/completions"] {
        for http2 in [false, true] {
            for _ in 0..10 {
                let sent = Bytes::from_static(b"{\"model\":\"m\",\"prompt\":\"x\"}");
                let mut request = stack.request(Method::POST, mode, whole(sent));
                request.headers_mut().insert("x-signalbox-explain", "true".parse().unwrap());
                let response = stack.send(request, http2).await;
                let line = response.headers()["x-signalbox-decision"].to_str().unwrap().to_owned();
                let told = told(response).await;
                let server = told["server"].as_str().unwrap().to_owned();
                assert!(line.starts_with(&format!("picked={server}; ")), "{server}: {line}");
                let id = told["headers"]["x-request-id"].as_str().unwrap();
                stack.until_in_flight(0).await;
                let records = stack.lanes.decisions.of(id);
                let [record] = &records[..] else { panic!("{} records of {id}", records.len()) };
                let picked = record.picked().unwrap();
                assert_eq!(picked.address.to_string(), server);
                assert_eq!(record.endpoints().len(), 2);
                assert_eq!((record.pool.as_str(), record.asked.model.as_str()), ("ns/pool", "m"));
                let happened = record.happened();
                assert_eq!(happened.served.map(|a| a.to_string()), Some(server.clone()));
                assert_eq!(happened.end.map(|(end, _)| end.name()), Some("answered"));
                assert!(happened.first_byte.is_some() && happened.usage.prompt_tokens.is_some());
                served.insert(server);
            }
        }
    }
    assert_eq!(served.len(), 2, "both answered some");
    let response = stack.send(stack.request(Method::GET, "/buffered", whole(Bytes::new())), false).await;
    assert!(!response.headers().contains_key("x-signalbox-decision"), "it did not ask");
}

async fn until_streams(stack: &Stack, count: usize) {
    let line = format!("signalbox_picker_streams{{pool=\"ns/pool\"}} {count}\n");
    for _ in 0..200 {
        if stack.lanes.metrics.encode().contains(&line) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{}", stack.lanes.metrics.encode());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewritten_model_reaches_the_model_server_and_the_client_reads_its_own() {
    let stack = Stack::start(false).await;
    for mode in ["/buffered/v1/completions", "/duplex/v1/completions"] {
        for http2 in [false, true] {
            let sent = Bytes::from_static(b"{ \"prompt\":\"x\",\"model\" : \"old\" }");
            let response = stack.send(stack.request(Method::POST, mode, whole(sent.clone())), http2).await;
            assert!(!response.headers().contains_key("content-length"), "it is not known yet");
            let told = told(response).await;
            assert_eq!(told["length"], sent.len() + 14, "the model server got the longer name");
            assert_eq!(told["model"], "old", "the client does not");
            let declared = &told["headers"]["content-length"];
            assert!(declared.is_null() || declared == &(sent.len() + 14).to_string(), "{declared}");
        }
    }
    let other = Bytes::from_static(b"{\"model\":\"a-longer-new-name\"}");
    let response =
        stack.send(stack.request(Method::POST, "/buffered/v1/completions", whole(other)), false).await;
    assert!(response.headers().contains_key("content-length"), "without a rewrite nothing changes");
    assert_eq!(told(response).await["model"], "a-longer-new-name");
    stack.until_in_flight(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_of_answers_is_learned_from() {
    let stack = Stack::start(false).await;
    let ratio = |model: &str| stack.lanes.of(None).unwrap().1.tokens.ratio(model);
    for (mode, model) in [("/buffered/v1/completions", "a"), ("/duplex/v1/completions", "b")] {
        assert_eq!(ratio(model), 4.0);
        let sent = Bytes::from(format!("{{\"model\":\"{model}\",\"prompt\":\"{}\"}}", "x".repeat(9_000)));
        for _ in 0..20 {
            told(stack.send(stack.request(Method::POST, mode, whole(sent.clone())), false).await).await;
        }
        stack.until_in_flight(0).await;
        assert!(ratio(model) < 2.5, "{mode}: {} bytes a token, two are reported", ratio(model));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streamed_answers_name_the_model_that_the_client_asked_for() {
    let stack = Stack::start(false).await;
    for mode in ["/buffered/events", "/duplex/events"] {
        for http2 in [false, true] {
            let sent = Bytes::from_static(b"{\"model\":\"old\",\"stream\":true}");
            let response = stack.send(stack.request(Method::POST, mode, whole(sent)), http2).await;
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let body = String::from_utf8_lossy(&body);
            assert_eq!(body.matches("data: {\"model\":\"old\",").count(), 3, "{mode}: {body}");
            assert!(body.ends_with("data: [DONE]\n\n") && !body.contains("longer"), "{mode}: {body}");
        }
    }
    stack.until_in_flight(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_reach_the_client_in_the_openai_shape() {
    let stack = Stack::start(false).await;
    for mode in ["/buffered", "/duplex", "/closed"] {
        let request = stack.request(Method::POST, mode, whole(bytes(BODY_LIMIT + 1)));
        let (status, reason, body) = refusal(stack.send(request, true).await).await;
        assert_eq!((status, &*reason), (413, "body_too_large"), "{mode}");
        assert!(body["error"]["message"].as_str().unwrap().contains(&BODY_LIMIT.to_string()));
    }
    stack.lanes.pools().apply(snapshot(&[]));
    for mode in ["/buffered", "/duplex", "/closed"] {
        for method in [Method::GET, Method::POST] {
            let body = whole(if method == Method::GET { Bytes::new() } else { bytes(100) });
            let (status, reason, body) =
                refusal(stack.send(stack.request(method, mode, body), false).await).await;
            assert_eq!(
                (status, &*reason, &body["error"]["type"]),
                (503, "no_endpoints", &"server_error".into())
            );
        }
    }
    stack.until_in_flight(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_picker_pools_fail_as_they_are_told() {
    let mut stack = Stack::start(false).await;
    let sent = bytes(70_000);
    told(stack.send(stack.request(Method::POST, "/buffered", whole(sent.clone())), false).await).await;
    stack.stop_picker().await;
    for _ in 0..5 {
        let response = stack.send(stack.request(Method::POST, "/buffered", whole(sent.clone())), false).await;
        let told = told(response).await;
        assert_eq!(told["hash"], xxhash_rust::xxh3::xxh3_64(&sent), "fails open with the body intact");
        let response = stack.send(stack.request(Method::POST, "/closed", whole(sent.clone())), false).await;
        assert_eq!(response.status(), 503);
    }
}
