//! The guide, as users follow it: names, streaming, the list of models, weights, and what is said when it goes wrong.

use std::{collections::BTreeSet, time::Duration};

use http::StatusCode;
use integration_tests::{
    client::Reply,
    load::{Load, LoadRequest, Pace},
    stack::{Stack, manifests},
};
use serde_json::json;
use tokio::time::Instant;

/// Asserts an error in the OpenAI shape that no Pod has had a part in.
fn assert_refused(reply: &Reply, status: u16, code: &str, what: &str) -> String {
    let (message, found) = reply.openai_error();
    assert_eq!((reply.status.as_u16(), found.as_str()), (status, code), "{what}: {message}");
    assert_eq!(reply.header("x-signalbox-reason"), code, "{what}");
    assert_eq!(reply.header("content-type"), "application/json", "{what}");
    assert_eq!(reply.pod(), "", "{what} reached a Pod");
    assert!(message.len() < 1000, "{what}: the message is {} bytes long", message.len());
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_requests_go_to_their_pools() {
    let mut stack = Stack::guide_at(10.0).await.unwrap();
    for (model, prompt, pods) in [
        ("chatbot", "What is the color of the sky", "gemma3-"),
        ("recommender", "Give me restaurant recommendations in Paris", "deepseek-r1-"),
    ] {
        let body = json!({"model": model, "prompt": prompt, "max_tokens": 100, "temperature": 0});
        let reply = stack.client.post("/v1/completions", body.to_string(), &[]).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert!(reply.pod().starts_with(pods), "{model} was answered by {}", reply.pod());
        assert_eq!(reply.json()["model"], model);
        assert_eq!(reply.json()["usage"]["completion_tokens"], 100);
        let chat =
            json!({"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 5});
        let reply = stack.client.post("/v1/chat/completions", chat.to_string(), &[]).await.unwrap();
        assert!(reply.status == StatusCode::OK && reply.pod().starts_with(pods), "{}", reply.text());
    }
    // What users read about it: the group that the manifest leaves out, and where the Gateway is.
    let route = stack.status("httproute.default.routes-to-llms");
    assert!(route.contains("inference.networking.k8s.io"), "the completed group is told:\n{route}");
    let gateway = stack.status("gateway.default.inference-gateway");
    assert!(
        gateway.contains(&stack.address().ip().to_string()) && gateway.contains("Programmed"),
        "{gateway}"
    );
    let (code, text) = stack.signalbox_status().await.unwrap();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("3/3") && text.contains("2/2"), "{text}");
    assert!(stack.process().terminate(Duration::from_secs(15)).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_streamed_as_they_come() {
    let stack = Stack::guide().await.unwrap();
    let ask = json!({"model": "chatbot", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20,
                     "stream": true, "stream_options": {"include_usage": true}});
    let start = Instant::now();
    let events = stack.client.stream("/v1/chat/completions", &ask, &[]).await.unwrap();
    assert_eq!(events.headers["content-type"], "text/event-stream; charset=utf-8");
    let events = events.collect().await.unwrap();
    let (first, last) = (events[0].at - start, events[events.len() - 1].at - start);
    // An L4 takes about 55 ms to the first token and 45 ms for each of the other 19.
    assert!(first < Duration::from_millis(500), "first token after {first:?}");
    assert!(last - first > Duration::from_millis(19 * 40), "all tokens within {:?}", last - first);
    let longest = events.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
    assert!(longest < Duration::from_millis(400), "tokens were held back for {longest:?}");
    assert_eq!(events.last().unwrap().data, "[DONE]");
    assert_eq!(events[events.len() - 2].json()["usage"]["completion_tokens"], 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_and_unknown_ones_are_told() {
    let stack = Stack::guide_at(50.0).await.unwrap();
    let models = stack.client.get("/v1/models").await.unwrap();
    assert_eq!(
        (models.status, models.pod(), models.header("content-type")),
        (StatusCode::OK, "", "application/json")
    );
    let json = models.json();
    let ids: BTreeSet<_> =
        json["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!((ids, &json["object"]), (BTreeSet::from(["chatbot", "recommender"]), &json!("list")));
    let one = stack.client.get("/v1/models/chatbot").await.unwrap().json();
    assert_eq!((&one["id"], &one["object"]), (&json!("chatbot"), &json!("model")));
    assert_refused(
        &stack.client.get("/v1/models/gpt-5").await.unwrap(),
        404,
        "model_not_found",
        "a model's page",
    );

    for model in ["gpt-5", "chatbot2", "Chatbot", "\"quoted\" \\ %REQ(:path)%", "größer"] {
        let reply = stack.client.completion(model, "a").await.unwrap();
        let message = assert_refused(&reply, 404, "model_not_found", model);
        for name in [model, "chatbot", "recommender"] {
            assert!(message.contains(name), "{name:?} is not in {message:?}");
        }
    }
    // Hops trim header values: a name with a space around it would be another one at the next.
    let padded = stack.client.completion("chatbot ", "a").await.unwrap();
    assert_refused(&padded, 400, "invalid_model", "a model with a space at its end");
    let reply = stack.client.get("/").await.unwrap();
    let (message, code) = reply.openai_error();
    assert_eq!((reply.status, reply.pod()), (StatusCode::NOT_FOUND, ""), "{code}: {message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_one_clear_model_are_refused() {
    let stack = Stack::guide_at(50.0).await.unwrap();
    let long = format!(r#"{{"model":"{}","prompt":"a"}}"#, "m".repeat(100_000));
    for (body, code) in [
        (r#"{"model": "chatbot", "prompt": "a"#, "invalid_json"),
        ("hello", "invalid_json"),
        (r#"[{"model": "chatbot"}]"#, "invalid_json"),
        (r#"{"model": "chatbot"} {"model": "recommender"}"#, "invalid_json"),
        ("", "model_required"),
        (r#"{"prompt": "a"}"#, "model_required"),
        (r#"{"metadata": {"model": "chatbot"}, "messages": [{"model": "chatbot"}]}"#, "model_required"),
        (r#"{"prompt": "\"model\": \"chatbot\""}"#, "model_required"),
        (r#"{"model": 7, "prompt": "a"}"#, "invalid_model"),
        (r#"{"model": null, "prompt": "a"}"#, "invalid_model"),
        (r#"{"model": "", "prompt": "a"}"#, "invalid_model"),
        (r#"{"model": "a\nb", "prompt": "a"}"#, "invalid_model"),
        (long.as_str(), "invalid_model"),
        (r#"{"model": "chatbot", "prompt": "a", "model": "recommender"}"#, "duplicate_model"),
        (r#"{"model": "chatbot", "mod\u0065l": "recommender"}"#, "duplicate_model"),
    ] {
        let reply = stack.client.post("/v1/completions", body.to_owned(), &[]).await.unwrap();
        assert_refused(&reply, 400, code, body.get(..60).unwrap_or(body));
    }
    let good = r#"{"model": "chatbot", "prompt": "a"}"#;
    for (header, status, code) in [
        (("content-encoding", "gzip"), 415, "unsupported_encoding"),
        (("content-type", "text/plain"), 400, "model_required"),
    ] {
        let reply = stack.client.post("/v1/completions", good, &[header]).await.unwrap();
        assert_refused(&reply, status, code, header.1);
    }
    let requests: u64 = stack.fleet.names().iter().map(|name| stack.fleet.pod(name).requests()).sum();
    assert_eq!(requests, 0, "none of them reached a Pod");

    for (body, kind, pods) in [
        (
            r#"{"tools": [{"model": "recommender"}], "model": "chatbot", "prompt": "a"}"#,
            "application/json",
            "gemma3-",
        ),
        (r#"{"model": "chat\u0062ot", "prompt": "a"}"#, "application/json", "gemma3-"),
        (r#"{"model": "recommender", "prompt": "a"}"#, "application/json; charset=utf-8", "deepseek-r1-"),
        (
            " \n\t{ \"prompt\" : \"{]\\\"\" , \"model\" : \"recommender\" } \n",
            "Application/JSON",
            "deepseek-r1-",
        ),
    ] {
        let reply = stack.client.post("/v1/completions", body, &[("content-type", kind)]).await.unwrap();
        assert!(
            reply.status == StatusCode::OK && reply.pod().starts_with(pods),
            "{body}: {} {}",
            reply.pod(),
            reply.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn routing_headers_of_clients_have_no_effect() {
    let stack = Stack::guide_at(50.0).await.unwrap();
    let foreign = format!("{}", stack.fleet.pod("deepseek-r1-0").config().listen[0]);
    let own = format!("{}", stack.fleet.pod("gemma3-1").config().listen[0]);
    let mut served = BTreeSet::new();
    for (number, (name, value)) in [
        ("x-gateway-model-name", "recommender"),
        ("X-Gateway-Base-Model-Name", "recommender"),
        ("x-gateway-destination-endpoint", foreign.as_str()),
        ("x-gateway-destination-endpoint", own.as_str()),
        ("x-gateway-destination-endpoint-subset", foreign.as_str()),
        ("x-gateway-destination-endpoint-served", foreign.as_str()),
        ("x-envoy-original-path", "/elsewhere"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-force-trace", "1"),
    ]
    .into_iter()
    .enumerate()
    {
        for i in 0..8 {
            let body = json!({"model": "chatbot", "prompt": format!("{number} {i}")}).to_string();
            let reply =
                stack.client.post("/v1/completions", body, &[(name, value), ("x-echo", "1")]).await.unwrap();
            assert_eq!(reply.status, StatusCode::OK, "{name}: {value}: {}", reply.text());
            assert!(reply.pod().starts_with("gemma3-"), "{name}: {value} led to {}", reply.pod());
            let models = reply.echo().headers.get("x-gateway-model-name").cloned().unwrap_or_default();
            assert!(models.is_empty() || models == ["chatbot"], "the Pod sees {models:?}");
            if value == own {
                served.insert(reply.pod().to_owned());
            }
        }
    }
    assert!(served.len() > 1, "the header of a client pinned all requests to {served:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_hold() {
    let stack = Stack::guide_at(50.0).await.unwrap();
    let blend = manifests::model_route("blend", "blend", &[("gemma3", 90), ("deepseek-r1", 10)]);
    stack.manifests.write("blend.yaml", &blend).unwrap();
    let ask = r#"{"model": "blend", "prompt": "a"}"#;
    stack
        .eventually("the route answers", Duration::from_secs(5), async || {
            stack.client.post("/v1/completions", ask, &[("x-echo", "1")]).await.unwrap().status
                == StatusCode::OK
        })
        .await
        .unwrap();
    // 2 % of 4,000 requests are four standard deviations.
    let requests = LoadRequest::post("/v1/completions", ask).header("x-echo", "1");
    let load =
        Load::of(&stack.client, requests, Pace::Closed { clients: 8 }, Duration::from_secs(120)).start();
    load.more(4000, Duration::from_secs(110)).await.unwrap();
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{report}");
    let heavy: u64 =
        report.by_pod.iter().filter(|(pod, _)| pod.starts_with("gemma3-")).map(|(_, count)| count).sum();
    let share = heavy as f64 / report.good as f64;
    assert!((share - 0.9).abs() < 0.02, "{share:.4} of {} requests: {:?}", report.good, report.by_pod);
    assert_eq!(report.by_pod.len(), 5, "every Pod has a share: {:?}", report.by_pod);
}
