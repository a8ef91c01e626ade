//! What passes through the Gateway byte by byte, and requests that no well-behaved client sends.

use std::time::Duration;

use http::{Method, StatusCode};
use integration_tests::{
    client::{Client, full, raw},
    simulator::body_hash,
    stack::Stack,
};
use serde_json::json;

const SOON: Duration = Duration::from_secs(10);

/// A body of exactly `size` bytes that names the model `chatbot`. The bulk is no prompt: that would not fit a model.
fn body_of(size: usize) -> Vec<u8> {
    let mut body = br#"{"model":"chatbot","prompt":"a","padding":""#.to_vec();
    let mut random = fastrand::Rng::with_seed(size as u64);
    while body.len() < size - 2 {
        body.push(random.alphanumeric() as u8);
    }
    body.extend(br#""}"#);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_arrive_as_they_were_sent() {
    let stack = Stack::guide_at(50.0).await.unwrap();
    let echo = [("x-echo", "1")];
    for size in
        [64, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, (1 << 20) + 1, (4 << 20) - 1, (4 << 20) + 1, 32 << 20]
    {
        let body = body_of(size);
        let (length, hash) = (body.len(), body_hash(&body));
        let reply = stack.client.post("/v1/completions", body, &echo).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK, "{size} bytes: {}", reply.text());
        let seen = reply.echo();
        assert_eq!((seen.body_length, &seen.body_xxh3), (length, &hash), "{size} bytes");
        assert_eq!(seen.declared_length, Some(length as u64), "the length is declared to the Pod");
        assert!(reply.pod().starts_with("gemma3-"));
    }
    let reply = stack.client.post("/v1/completions", body_of((32 << 20) + 1), &echo).await.unwrap();
    let (message, code) = reply.openai_error();
    assert_eq!(
        (reply.status, code.as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
        "{message}"
    );
    assert!(message.contains(&(32 << 20).to_string()), "the limit is named: {message}");
    // HTTP/2 from clients, without TLS.
    let reply = Client::h2c(stack.address()).post("/v1/completions", body_of(100_000), &echo).await.unwrap();
    assert_eq!(reply.echo().body_xxh3, body_hash(&body_of(100_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_and_trailers() {
    let stack = Stack::guide_at(50.0).await.unwrap();
    let body = String::from_utf8(body_of(10_000)).unwrap();
    let mut chunks = String::new();
    let mut rest = body.as_str();
    for size in (1..).step_by(37) {
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        chunks.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    for trailers in ["", "x-checksum: 1\r\nx-gateway-model-name: recommender\r\n"] {
        let request = format!(
            "POST /v1/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nx-echo: 1\r\n\
             connection: close\r\ntrailer: x-checksum\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n{trailers}\r\n",
            stack.address()
        );
        let reply = raw::exchange(stack.address(), request.as_bytes(), SOON).await.unwrap();
        let text = reply.text();
        assert_eq!(reply.status(), Some(200), "{text}");
        assert!(text.contains("x-inference-pod: gemma3-"), "{text}");
        assert!(text.contains(&body_hash(body.as_bytes())), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_are_answered_and_harm_nobody() {
    let stack = Stack::guide_at(50.0).await.unwrap();
    let host = stack.address();
    let ask = r#"{"model":"chatbot","prompt":"a"}"#;
    let head = format!("POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n");
    let upgrade = format!(
        "GET /v1/completions HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    for (what, request, statuses) in [
        ("an upgrade", upgrade, &[403, 404, 426][..]),
        ("two lengths", format!("{head}content-length: 3\r\ncontent-length: 4\r\n\r\nabcd"), &[400]),
        (
            "a length and chunks",
            format!("{head}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            &[400],
        ),
        ("a bad length", format!("{head}content-length: -1\r\n\r\n"), &[400]),
        ("no request", "\u{16}\u{3}\u{1} hello\r\n\r\n".to_owned(), &[400]),
        ("a huge header", format!("{head}x-big: {}\r\n\r\n", "a".repeat(200_000)), &[431]),
        (
            "a path above the root",
            format!("GET /../../etc/passwd HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            &[400, 404],
        ),
    ] {
        let reply = raw::exchange(host, request.as_bytes(), Duration::from_secs(2)).await.unwrap();
        let status = reply.status().unwrap_or_default();
        assert!(statuses.contains(&status), "{what}: {status}, not one of {statuses:?}: {}", reply.text());
    }
    // Half a body and then silence, and one that never comes: they wait, others do not.
    let half = format!("{head}content-length: 1000\r\n\r\n{ask}");
    let silent = raw::exchange(host, half.as_bytes(), Duration::from_secs(1));
    let (silent, other) = tokio::join!(silent, stack.client.completion("chatbot", "a"));
    assert_eq!((silent.unwrap().status(), other.unwrap().status), (None, StatusCode::OK));

    let get = stack.client.request(Method::GET, "/v1/completions").header("content-type", "application/json");
    let reply = stack.client.send(get.body(full(ask)).unwrap()).await.unwrap();
    assert_eq!((reply.status, reply.pod()), (StatusCode::NOT_FOUND, ""), "{}", reply.text());
    assert_eq!(stack.client.completion("recommender", "a").await.unwrap().status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn aborts_reach_the_pods() {
    let stack = Stack::guide().await.unwrap();
    let running = || -> usize {
        stack
            .fleet
            .names()
            .iter()
            .map(|name| stack.fleet.pod(name).with_engine(|engine| engine.running().0))
            .sum()
    };
    for stream in [true, false] {
        let ask = json!({"model": "chatbot", "prompt": "a", "max_tokens": 10_000, "ignore_eos": true, "stream": stream});
        let request = raw::post(stack.address(), "/v1/completions", "", &ask.to_string());
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (address, request) = (stack.address(), request.clone());
            clients.spawn(async move { raw::exchange(address, &request, Duration::from_secs(60)).await });
        }
        stack.eventually("twenty requests run", SOON, async || running() == 20).await.unwrap();
        clients.abort_all();
        stack
            .eventually("none runs after its client has gone", Duration::from_secs(1), async || {
                running() == 0
            })
            .await
            .unwrap();
    }
    assert_eq!(stack.client.completion("chatbot", "a").await.unwrap().status, StatusCode::OK);
}
