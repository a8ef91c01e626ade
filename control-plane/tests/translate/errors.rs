//! What clients read when something fails, in a real Envoy.

use axum::body::Body;
use control_plane::{api::FailureMode, gateway::ir::*, translate::Settings};

use crate::{
    building::*,
    stack::{PORT, Stack, Upstreams, address},
};

async fn failing() -> (Stack, Upstreams) {
    let (mut upstreams, at) = (Upstreams::default(), address());
    let echo = upstreams.echo("a").await;
    let mut slow = forward(vec![to(Ok(service("apps/a")), 1)]);
    slow.request_timeout = MILLIS_300;
    let mixed = forward(vec![to(Ok(service("apps/a")), 1), to(Err(missing()), 1)]);
    let mut host = host(
        "api.example.com",
        vec![
            route("slow", "/slow", Action::Forward(slow)),
            route("empty", "/empty", only(service("apps/empty"))),
            route("dead", "/dead", only(service("apps/dead"))),
            route("cleartext", "/cleartext", only(service("apps/cleartext"))),
            route("mixed", "/mixed", Action::Forward(mixed)),
            route("none", "/none", Action::Forward(forward(vec![to(Err(missing()), 1)]))),
            route("closed", "/closed", only(pool("apps/closed"))),
            route("open", "/open", only(pool("apps/open"))),
            route("shadow", "/shadow", only(service("apps/a"))).model("m1"),
            route("shadowed", "/shadow", Action::Refuse(missing())),
            route("model", "/v1", only(service("apps/a"))).model("m1"),
        ],
    );
    host.models = models(&["m1", "org/m%2", "we\"ird"]);
    let http = HttpListener {
        model_headers: vec!["x-gateway-model-name".to_owned()],
        uses_pickers: true,
        ..http(vec![host])
    };
    let closed = asks("apps/gone", FailureMode::FailClose, PickerMode::Buffered);
    let open = asks("apps/gone", FailureMode::FailOpen, PickerMode::Buffered);
    let case = case(vec![listener(PORT, &[&at], http)])
        .service("apps/a", Protocol::Http1, &[&echo])
        .service("apps/empty", Protocol::Http1, &[])
        .service("apps/dead", Protocol::Http1, &["127.0.0.1:1"])
        .service("apps/cleartext", Protocol::Http1, &[&echo])
        .verified("apps/cleartext", "echo.example.com")
        .pool("apps/closed", closed, Protocol::Http1, &[&echo])
        .pool("apps/open", open, Protocol::Http1, &[&echo])
        .picker("apps/gone", PickerSecurity::Cleartext, &[]);
    (Stack::start(&case, &at, &Settings::default()).await, upstreams)
}

const HOST: (&str, &str) = ("host", "api.example.com");
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_has_its_reason() {
    let (stack, _upstreams) = failing().await;
    for (path, status, reason) in [
        ("/nowhere", 404, "route_not_found"),
        ("/v1/x", 404, "route_not_found"),
        ("/slow", 504, "upstream_timeout"),
        ("/empty", 503, "no_endpoints"),
        ("/dead", 503, "upstream_unreachable"),
        ("/cleartext", 503, "upstream_tls_failed"),
        ("/none", 500, "backend_not_found"),
        ("/shadow", 500, "backend_not_found"),
        ("/closed", 503, "endpoint_picker_unavailable"),
    ] {
        let answer = stack.send("GET", path, &[HOST], Body::empty()).await;
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (status, reason), "{path}");
        assert_eq!(answer.headers.contains_key("retry-after"), reason == "no_endpoints", "{path}");
    }
    let answer = stack.send("GET", "/v1/x", &[("host", "other.example.com")], Body::empty()).await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (404, "route_not_found"));
    let answer = stack.send("HEAD", "/nowhere", &[HOST], Body::empty()).await;
    assert_eq!(answer.status.as_u16(), 404);
    assert_eq!(answer.headers["x-signalbox-reason"], "route_not_found");
    assert!(!answer.headers.contains_key("content-type"), "there is no body that could have a type");
    let answer = stack.send("POST", "/open", &[HOST], "body").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["len"]), (200, &4.into()));
    stack.assert_no_script_errors();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_backend_answers_its_share() {
    let (stack, _upstreams) = failing().await;
    let (mut served, mut refused) = (0, 0);
    for _ in 0..60 {
        let answer = stack.send("GET", "/mixed", &[HOST], Body::empty()).await;
        if answer.status == 200 {
            served += 1;
        } else {
            assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (500, "backend_not_found"));
            assert_eq!(answer.json()["error"]["message"], missing().message);
            refused += 1;
        }
    }
    assert!(served >= 10 && refused >= 10, "{served} served, {refused} refused");
    // A refusal that a model route shadows does not get in the way of large bodies.
    let body = format!(r#"{{"x":"{}","model":"m1"}}"#, "x".repeat(200_000));
    let answer = stack.send("POST", "/shadow", &[HOST, JSON], body.clone()).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["len"]), (200, &body.len().into()));
    stack.assert_no_script_errors();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_model_is_named_safely() {
    let (stack, _upstreams) = failing().await;
    for model in ["m2", "a\"b\\c", "%REQ(:PATH)%", "</script>", "é😀", "x\",\"code\":\"y"] {
        let body = serde_json::json!({"model": model}).to_string();
        let answer = stack.send("POST", "/v1/chat/completions", &[HOST, JSON], body).await;
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (404, "model_not_found"));
        let expected = format!("The model `{model}` does not exist here. Models: m1, org/m%2, we\"ird.");
        assert_eq!(answer.json()["error"]["message"], expected);
        assert_eq!(answer.json()["error"]["param"], "model");
    }
    stack.assert_no_script_errors();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_are_listed() {
    let (stack, _upstreams) = failing().await;
    let answer = stack.send("GET", "/v1/models", &[HOST], Body::empty()).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let ids: Vec<_> = answer.json()["data"].as_array().unwrap().iter().map(|m| m["id"].clone()).collect();
    assert_eq!(ids, ["m1", "org/m%2", "we\"ird"]);
    assert_eq!(answer.json()["object"], "list");
    for (path, id) in [("m1", "m1"), ("org/m%252", "org/m%2"), ("we%22ird?x=1", "we\"ird")] {
        let answer = stack.send("GET", &format!("/v1/models/{path}"), &[HOST], Body::empty()).await;
        assert_eq!(answer.status, 200, "{path}");
        let expected =
            serde_json::json!({"id": id, "object": "model", "created": 0, "owned_by": "apps/pool"});
        assert_eq!(answer.json(), expected);
    }
    let answer = stack.send("GET", "/v1/models/m9", &[HOST], Body::empty()).await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (404, "model_not_found"));
    stack.assert_no_script_errors();
}
