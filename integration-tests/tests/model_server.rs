//! The simulator over its sockets: API, streaming, faults, protocols, life cycle.

use std::{net::SocketAddr, time::Duration};

use http::StatusCode;
use integration_tests::{
    client::{
        Client, full,
        raw::{self, End},
    },
    loopback::Block,
    simulator::{Faults, Fleet, body_hash, config::parse_pod, faults::MetricsFault},
};
use serde_json::json;
use tokio::time::Instant;

async fn server(settings: &str) -> (Fleet, Client) {
    let address = SocketAddr::new(Block::claim().gateway(), 8000);
    let config = parse_pod(&format!(
        "name=p0,listen={address},model=google/gemma-3,served-names=chatbot+gemma3,{settings}"
    ));
    (Fleet::start([config.expect("a Pod")]).await.expect("a free address"), Client::new(address))
}

#[tokio::test]
async fn completions_and_chats() {
    let (_fleet, client) = server("").await;
    let reply = client.completion("chatbot", "What is the color of the sky").await.unwrap();
    assert_eq!((reply.status, reply.pod()), (StatusCode::OK, "p0"));
    let json = reply.json();
    assert_eq!(json["object"], "text_completion");
    assert_eq!(json["choices"][0]["finish_reason"], "length");
    assert_eq!(json["choices"][0]["text"].as_str().unwrap().split(' ').count(), 10);
    assert_eq!(json["usage"]["prompt_tokens"], 7);
    assert_eq!(json["usage"]["total_tokens"], 17);

    // A second turn finds the first one, its answer included, in the cache.
    let question = "word ".repeat(60);
    let mut messages = json!([{"role": "user", "content": question}]);
    let ask =
        |messages: &serde_json::Value| json!({"model": "gemma3", "max_tokens": 40, "messages": messages});
    let first = client.post("/v1/chat/completions", ask(&messages).to_string(), &[]).await.unwrap().json();
    assert_eq!(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
    messages.as_array_mut().unwrap().push(first["choices"][0]["message"].clone());
    messages.as_array_mut().unwrap().push(json!({"role": "user", "content": "go on"}));
    let second = client.post("/v1/chat/completions", ask(&messages).to_string(), &[]).await.unwrap().json();
    // 62 of the prompt and 39 of the answer have been computed: six blocks of 16.
    assert_eq!(second["usage"]["prompt_tokens_details"]["cached_tokens"], 96);
}

#[tokio::test]
async fn streams_arrive_token_by_token() {
    let (_fleet, client) = server("prefill-overhead-ms=40,itl-base-ms=20").await;
    let ask = json!({"model": "chatbot", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5,
                     "stream": true, "stream_options": {"include_usage": true}});
    let start = Instant::now();
    let events = client.stream("/v1/chat/completions", &ask, &[]).await.unwrap().collect().await.unwrap();
    let last = events.last().unwrap();
    assert_eq!(last.data, "[DONE]");
    assert!(events[0].at - start >= Duration::from_millis(40));
    assert!(
        last.at - events[0].at >= Duration::from_millis(75),
        "not sent at once: {:?}",
        last.at - events[0].at
    );
    assert_eq!(events[0].json()["choices"][0]["delta"]["role"], "assistant");
    let text: String = events
        .iter()
        .filter_map(|event| Some(event.json()["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect();
    assert_eq!(text.split(' ').count(), 5);
    assert_eq!(events[events.len() - 3].json()["choices"][0]["finish_reason"], "length");
    assert_eq!(events[events.len() - 2].json()["usage"]["completion_tokens"], 5);
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_openai_shape() {
    let (_fleet, client) = server("max-model-len=100").await;
    let long = format!(r#"{{"model":"chatbot","prompt":"{}"}}"#, "a ".repeat(200));
    for (path, body, status, words) in [
        ("/v1/completions", r#"{"model":"gpt-5","prompt":"a"}"#, 404, "`gpt-5` does not exist"),
        ("/v1/completions", r#"{"model":"chatbot","#, 400, "EOF"),
        ("/v1/completions", "", 400, "EOF"),
        ("/v1/completions", r#"{"prompt":"a"}"#, 400, "model"),
        ("/v1/completions", r#"{"model":"chatbot"}"#, 400, "prompt"),
        ("/v1/chat/completions", r#"{"model":"chatbot","messages":[]}"#, 400, "messages"),
        ("/v1/completions", r#"{"model":"chatbot","prompt":"a","max_tokens":0}"#, 400, "max_tokens"),
        ("/v1/completions", &long, 400, "maximum context length is 100 tokens"),
    ] {
        let reply = client.post(path, body.to_owned(), &[]).await.unwrap();
        let (message, code) = reply.openai_error();
        assert_eq!((reply.status.as_u16(), code), (status, status.to_string()), "{body}");
        assert!(message.contains(words), "{message:?} for {body}");
    }
}

#[tokio::test]
async fn echoes_on_both_protocols() {
    let (_fleet, client) = server("").await;
    let body = vec![7u8; 3 << 20];
    for (client, version) in [(client.clone(), "HTTP/1.1"), (Client::h2c(client.address()), "HTTP/2.0")] {
        let headers = [("x-two", "a"), ("x-two", "b"), ("content-type", "application/octet-stream")];
        let reply = client.post("/any/path?q=1", body.clone(), &headers).await.unwrap();
        let echo = reply.echo();
        assert_eq!(
            (echo.method.as_str(), echo.path.as_str(), echo.version.as_str()),
            ("POST", "/any/path?q=1", version)
        );
        assert_eq!(echo.headers["x-two"], ["a", "b"]);
        assert_eq!((echo.body_length, echo.declared_length), (body.len(), Some(body.len() as u64)));
        assert_eq!(reply.header("x-body-xxh3"), body_hash(&body));
    }
    let reply = client.post("/v1/completions", r#"{"model":"gpt-5"}"#, &[("x-echo", "1")]).await.unwrap();
    assert_eq!(reply.echo().path, "/v1/completions");
    let models = client.get("/v1/models").await.unwrap().json();
    assert_eq!(
        (&models["data"][0]["id"], &models["data"][1]["root"]),
        (&json!("chatbot"), &json!("google/gemma-3"))
    );
}

#[tokio::test]
async fn request_faults() {
    let (fleet, client) = server("").await;
    let pod = fleet.pod("p0");
    let fault = |fault: &'static str| {
        let client = client.clone();
        async move {
            client
                .post("/v1/completions", r#"{"model":"chatbot","prompt":"a"}"#, &[("x-sim-fault", fault)])
                .await
        }
    };
    assert_eq!(fault("status=503").await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(fault("explode").await.unwrap().status, StatusCode::BAD_REQUEST);
    let request = raw::post(client.address(), "/v1/completions", "x-sim-fault: reset\r\n", "{}");
    let reply = raw::exchange(client.address(), &request, Duration::from_secs(5)).await.unwrap();
    assert_eq!((reply.end, reply.bytes.len()), (End::Reset, 0));

    let ask = r#"{"model":"chatbot","prompt":"a","stream":true,"max_tokens":9}"#;
    let request = raw::post(client.address(), "/v1/completions", "x-sim-fault: reset-after=3\r\n", ask);
    let reply = raw::exchange(client.address(), &request, Duration::from_secs(5)).await.unwrap();
    assert!(reply.text().matches("data: ").count() <= 3 && reply.end == End::Reset, "{reply:?}");

    let request = raw::post(client.address(), "/v1/completions", "x-sim-fault: hang\r\n", ask);
    let reply = raw::exchange(client.address(), &request, Duration::from_millis(200)).await.unwrap();
    assert_eq!((reply.end, reply.bytes.len()), (End::Open, 0));

    pod.set_faults(Faults { status: Some(500), times: Some(2), ..Faults::default() });
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.completion("chatbot", "a").await.unwrap().status.as_u16());
    }
    assert_eq!(statuses, [500, 500, 200]);
}

#[tokio::test]
async fn pod_faults() {
    let (fleet, client) = server("").await;
    let pod = fleet.pod("p0");
    let metrics = async |fault| {
        pod.set_faults(Faults { metrics: fault, ..Faults::default() });
        client.get("/metrics").await.unwrap()
    };
    assert!(metrics(MetricsFault::None).await.text().contains("vllm:num_requests_running{"));
    assert_eq!(metrics(MetricsFault::Missing).await.status, StatusCode::NOT_FOUND);
    assert_eq!(metrics(MetricsFault::Huge).await.body.len() >> 20, 31);
    assert!(String::from_utf8(metrics(MetricsFault::Garbage).await.body.to_vec()).is_err());

    pod.set_faults(Faults { refuse: true, ..Faults::default() });
    let refused = async { while Client::new(client.address()).get("/health").await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(5), refused).await.unwrap();
    pod.set_faults(Faults { reset_on_accept: true, ..Faults::default() });
    let reset = async {
        loop {
            match raw::exchange(client.address(), b"", Duration::from_secs(1)).await {
                Ok(reply) => return reply.end,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), reset).await.unwrap(), End::Reset);

    pod.set_faults(Faults::default());
    let over_http = r#"{"unhealthy": true}"#;
    assert_eq!(client.post("/admin/faults", over_http, &[]).await.unwrap().json()["unhealthy"], true);
    assert_eq!(client.get("/health").await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        client.post("/admin/faults", r#"{"nonsense": 1}"#, &[]).await.unwrap().status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn aborts_stop_the_generation() {
    let (fleet, client) = server("itl-base-ms=5").await;
    let pod = fleet.pod("p0");
    let running = || pod.with_engine(|engine| engine.running().0);
    for stream in [true, false] {
        let ask = json!({"model": "chatbot", "prompt": "a", "max_tokens": 10000, "ignore_eos": true, "stream": stream});
        let open = client.post_request("/v1/completions", ask.to_string(), &[]).unwrap();
        let talk = async {
            let response = client.open(open).await.unwrap();
            integration_tests::client::Events::new(response).collect().await
        };
        let until_running = async {
            while running() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = talk => panic!("50 seconds of tokens ended"),
            () = until_running => {}
        }
        let until_stopped = async {
            while running() != 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(1), until_stopped).await.unwrap();
    }
    assert_eq!(pod.with_engine(|engine| (engine.blocks().used(), engine.totals().aborted)), (0, 2));
}

#[tokio::test]
async fn removal_drains_and_kill_breaks() {
    let (fleet, client) = server("itl-base-ms=10").await;
    let ask = json!({"model": "chatbot", "prompt": "a", "max_tokens": 30, "stream": true});
    let mut events = client.stream("/v1/completions", &ask, &[]).await.unwrap();
    events.next().await.unwrap().unwrap();
    let (removed, rest) = tokio::join!(fleet.remove("p0"), events.collect());
    assert!(removed);
    assert_eq!(rest.unwrap().last().unwrap().data, "[DONE]");
    assert!(client.get("/health").await.is_err());

    let config = parse_pod(&format!("name=p1,listen={},model=m,itl-base-ms=10", client.address())).unwrap();
    fleet.add(config).await.unwrap();
    let ask = json!({"model": "m", "prompt": "a", "max_tokens": 1000, "stream": true});
    let mut events = client.stream("/v1/completions", &ask, &[]).await.unwrap();
    events.next().await.unwrap().unwrap();
    assert!(fleet.kill("p1"));
    assert!(events.collect().await.is_err());
}

#[tokio::test]
async fn a_body_may_be_chunked() {
    let (_fleet, client) = server("").await;
    let request =
        client.request(http::Method::PUT, "/x").header("transfer-encoding", "chunked").body(full("abc"));
    let echo = client.send(request.unwrap()).await.unwrap().echo();
    assert_eq!((echo.body_length, echo.declared_length, echo.body_xxh3), (3, None, body_hash(b"abc")));
}
