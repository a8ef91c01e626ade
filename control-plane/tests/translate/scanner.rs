//! The model scanner, in a real Envoy.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use control_plane::{gateway::ir::*, translate::Settings};
use futures_util::stream;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::{
    building::*,
    stack::{PORT, Stack, Upstreams, address},
};

/// Any model at `/v1`; `/opt` shadowed by a route for `m1`; `/files` without.
async fn any_model(settings: &Settings) -> (Stack, Upstreams) {
    let (mut upstreams, at) = (Upstreams::default(), address());
    let (a, b, files) = (upstreams.echo("a").await, upstreams.echo("b").await, upstreams.echo("files").await);
    let mut all = host(
        "*",
        vec![
            route("base", "/v1", only(service("apps/b")))
                .header("x-gateway-base-model-name", TextMatch::Exact("mistral".to_owned())),
            route("any", "/v1", only(service("apps/a")))
                .header("x-gateway-model-name", TextMatch::Regex("(?s).+".to_owned())),
            route("m1", "/opt", only(service("apps/a"))).model("m1"),
            route("opt", "/opt", only(service("apps/files"))),
            route("files", "/files", only(service("apps/files"))),
        ],
    );
    all.models = models(&["m1", "mistral-lora"]);
    let http = HttpListener {
        model_headers: vec!["x-gateway-base-model-name".to_owned(), "x-gateway-model-name".to_owned()],
        base_models: [("mistral-lora".to_owned(), "mistral".to_owned())].into(),
        ..http(vec![all])
    };
    let case = case(vec![listener(PORT, &[&at], http)])
        .service("apps/a", Protocol::Http1, &[&a])
        .service("apps/b", Protocol::Http1, &[&b])
        .service("apps/files", Protocol::Http1, &[&files]);
    (Stack::start(&case, &at, settings).await, upstreams)
}

/// A body and the model that is to be read from it, or the reason of the refusal.
fn table() -> Vec<(Vec<u8>, Result<String, &'static str>)> {
    let ok = |body: &str, model: &str| (body.as_bytes().to_vec(), Ok(model.to_owned()));
    let no = |body: &str, reason| (body.as_bytes().to_vec(), Err(reason));
    let long = "m".repeat(256);
    vec![
        ok(r#"{"model":"m1"}"#, "m1"),
        ok(" \r\n\t{ \"model\" : \"m1\" }\n ", "m1"),
        ok(r#"{"messages":[{"role":"user","content":"{\"model\":\"x\"}","model":"x"}],"model":"m1"}"#, "m1"),
        ok(
            r#"{"tools":[{"function":{"parameters":{"properties":{"model":{"type":"string"}}}}}],"model":"m1"}"#,
            "m1",
        ),
        ok(r#"{"a\\":"\\\"","b":-1.5e+3,"c":true,"d":null,"e":[],"f":{},"model":"m1"}"#, "m1"),
        ok(r#"{"mod\u0065l":"chat\u0062ot"}"#, "chatbot"),
        ok(r#"{"model":"a\/b\"\\"}"#, r#"a/b"\"#),
        ok(r#"{"model":"\u00e9\u20ac\ud83d\ude00é"}"#, "é€😀é"),
        ok(r#"{"Model":"x","model ":"x","model":"m1"}"#, "m1"),
        ok(&json!({"model": long}).to_string(), &long),
        no("", "model_required"),
        no("{}", "model_required"),
        no(r#"{"a":1}"#, "model_required"),
        no("[]", "invalid_json"),
        no("\"model\"", "invalid_json"),
        no("\u{feff}{\"model\":\"m1\"}", "invalid_json"),
        no(r#"{"model":"m1"} x"#, "invalid_json"),
        no(r#"{"model":"m1"}{"model":"m2"}"#, "invalid_json"),
        no(r#"{"model":"m1""#, "invalid_json"),
        no(r#"{"model":"m1"#, "invalid_json"),
        no(r#"{"model":"m1","a":[{"#, "invalid_json"),
        no(r#"{"model":"m1",}"#, "invalid_json"),
        no(r#"{,"model":"m1"}"#, "invalid_json"),
        no(r#"{"model" "m1"}"#, "invalid_json"),
        no(r#"{"a":@,"model":"m1"}"#, "invalid_json"),
        no(r#"{"a":1 2,"model":"m1"}"#, "invalid_json"),
        no(r#"{'model':'m1'}"#, "invalid_json"),
        no(r#"{"model":"m1","model":"m2"}"#, "duplicate_model"),
        no(r#"{"model":"m1","\u006dodel":"m1"}"#, "duplicate_model"),
        no(r#"{"model":1}"#, "invalid_model"),
        no(r#"{"model":null}"#, "invalid_model"),
        no(r#"{"model":["m1"]}"#, "invalid_model"),
        no(r#"{"model":{"model":"m1"}}"#, "invalid_model"),
        no(r#"{"model":""}"#, "invalid_model"),
        ok(r#"{"model":"a b"}"#, "a b"),
        no(r#"{"model":" m1"}"#, "invalid_model"),
        no(r#"{"model":"m1\u0020"}"#, "invalid_model"),
        no(r#"{"model":"a\nb"}"#, "invalid_model"),
        no(r#"{"model":"a\u0000"}"#, "invalid_model"),
        no(r#"{"model":"\ud83d"}"#, "invalid_model"),
        no(r#"{"model":"\ude00\ud83d"}"#, "invalid_model"),
        no(r#"{"model":"\x"}"#, "invalid_model"),
        no(r#"{"model":"\u12g4"}"#, "invalid_model"),
        no(&json!({"model": format!("{long}m")}).to_string(), "invalid_model"),
        no(&json!({"model": "m".repeat(100_000)}).to_string(), "invalid_model"),
        no(&format!("{{\"a\":[{}0],\"model\":\"m1\"}}", "[],".repeat(200_000)), "body_too_complex"),
        (b"{\"model\":\"a\xff\"}".to_vec(), Err("invalid_model")),
        (b"{\"model\":\"\xc0\xaf\"}".to_vec(), Err("invalid_model")),
        (b"{\"model\":\"\xed\xa0\x80\"}".to_vec(), Err("invalid_model")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_is_read_from_the_top_level_only() {
    let (stack, _upstreams) = any_model(&Settings::default()).await;
    for (body, expected) in table() {
        let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let len = body.len();
        let answer = stack.post("/v1/chat/completions", body).await;
        match expected {
            Ok(model) => {
                assert_eq!(
                    answer.received("x-gateway-model-name"),
                    Some(model.clone()),
                    "{shown}: {answer:?}"
                );
                assert_eq!(answer.received("x-gateway-base-model-name"), Some(model), "{shown}");
                assert_eq!(answer.json()["len"], len, "{shown}");
            }
            Err(reason) => {
                assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (400, reason), "{shown}");
                assert_eq!(answer.json()["error"]["param"], "model");
            }
        }
    }
    stack.assert_no_script_errors();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adapters_route_by_their_base_model() {
    let (stack, _upstreams) = any_model(&Settings::default()).await;
    let answer = stack.post("/v1/x", r#"{"model":"mistral-lora"}"#).await;
    assert_eq!(answer.json()["backend"], "b");
    assert_eq!(answer.received("x-gateway-base-model-name").as_deref(), Some("mistral"));
    stack.assert_no_script_errors();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_cannot_choose_the_route_or_the_endpoint() {
    let (stack, _upstreams) = any_model(&Settings::default()).await;
    let forged = [
        ("x-gateway-model-name", "m1"),
        ("X-Gateway-Base-Model-Name", "mistral"),
        ("x-gateway-destination-endpoint", "10.0.0.1:1"),
        ("x-gateway-destination-endpoint-subset", "10.0.0.1:1"),
        ("x-gateway-destination-endpoint-served", "10.0.0.1:1"),
    ];
    let answer = stack.send("GET", "/v1/x", &forged, Body::empty()).await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (404, "route_not_found"));
    let answer = stack.send("GET", "/files", &forged, Body::empty()).await;
    for (name, _) in forged {
        assert_eq!(answer.received(&name.to_lowercase()), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_route_takes_without_a_model_is_never_refused() {
    let settings = Settings { body_limit_bytes: 1 << 20, ..Settings::default() };
    let (stack, _upstreams) = any_model(&settings).await;
    let json = ("content-type", "application/json");
    let big = vec![b'x'; 3 << 20];
    let model = br#"{"model":"m1"}"#.to_vec();
    for (path, headers, body, backend) in [
        ("/opt", vec![json], model.clone(), "a"),
        ("/opt", vec![("content-type", "Application/JSON; charset=utf-8")], model.clone(), "a"),
        ("/opt", vec![("content-type", "application/vnd.api+json")], model.clone(), "a"),
        ("/opt", vec![], model.clone(), "a"),
        ("/opt", vec![json, ("content-encoding", "identity")], model.clone(), "a"),
        ("/opt", vec![json], br#"{"model":"m1","model":"m1"}"#.to_vec(), "files"),
        ("/opt", vec![json], b"{".to_vec(), "files"),
        ("/opt", vec![json], Vec::new(), "files"),
        ("/opt", vec![json], big.clone(), "files"),
        ("/opt", vec![json, ("content-encoding", "gzip")], model.clone(), "files"),
        ("/opt", vec![("content-type", "multipart/form-data; boundary=x")], big.clone(), "files"),
        ("/opt", vec![("content-type", "application/jsonl")], model.clone(), "files"),
        ("/files", vec![json], big, "files"),
        ("/files", vec![json], model, "files"),
    ] {
        let len = body.len();
        let answer = stack.send("POST", path, &headers, body).await;
        assert_eq!(answer.status, 200, "{path} {headers:?}: {answer:?}");
        assert_eq!(answer.json()["backend"], backend, "{path} {headers:?} {len}");
        assert_eq!(answer.json()["len"], len);
    }
    stack.assert_no_script_errors();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_bounded_chunked_and_compressed() {
    let (stack, _upstreams) = any_model(&Settings::default()).await;
    let mut body = br#"{"model":"m1","x":""#.to_vec();
    body.resize((32 << 20) - 2, b'a');
    body.extend_from_slice(b"\"}");
    let answer = stack.post("/v1/x", body.clone()).await;
    assert_eq!(answer.json()["len"], 32 << 20);
    body.insert(1, b' ');
    let answer = stack.post("/v1/x", body).await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (413, "request_too_large"));
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("33554432"));

    let chunks = [r#"{"mod"#, r#"el":"#, r#""m"#, r#"1"}"#];
    let chunked = stream::iter(chunks.map(|c| Ok::<_, Infallible>(Bytes::from_static(c.as_bytes()))));
    let answer = stack.post("/v1/x", Body::from_stream(chunked)).await;
    assert_eq!(answer.received("x-gateway-model-name").as_deref(), Some("m1"));

    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let answer = stack.send("POST", "/v1/x", &headers, "\u{1f}x").await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (415, "unsupported_encoding"));
    let answer = stack.send("POST", "/v1/x", &[("content-type", "text/plain")], "a").await;
    assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (400, "model_required"));
    stack.assert_no_script_errors();
}

/// A JSON text, and whether it was cut or spoiled.
fn bodies() -> impl Strategy<Value = String> {
    let text =
        prop_oneof!["[ -~]{0,12}", "\\PC{0,6}", Just("model".to_owned()), Just("\"model\":\"x\"".to_owned())];
    let leaf = prop_oneof![
        6 => text.prop_map(Value::from),
        1 => any::<i32>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    let value = leaf.clone().prop_recursive(3, 24, 4, |inner| {
        let object = prop::collection::btree_map(
            prop_oneof!["[a-z]{0,3}", Just("model".to_owned())],
            inner.clone(),
            0..4,
        );
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    });
    let member = (
        prop_oneof![2 => Just("model".to_owned()), 4 => "\\PC{0,6}"],
        prop_oneof![3 => leaf, 1 => value],
        any::<u8>(),
    );
    let object = prop::collection::vec(member, 0..5).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(k, v, how)| render(k, v, *how)).collect();
        format!("{{{}}}", members.join(" ,\n"))
    });
    (object, prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<Option<char>>()))).prop_map(
        |(text, spoil)| {
            let Some((at, with)) = spoil else { return text };
            let mut chars: Vec<_> = text.chars().collect();
            let at = at.index(chars.len());
            match with {
                Some(with) => chars[at] = with,
                None => chars.truncate(at),
            }
            chars.into_iter().collect()
        },
    )
}

/// One member, with its key and its string value escaped in one of several ways.
fn render(key: &str, value: &Value, how: u8) -> String {
    let escaped = |text: &str, all: bool| match all {
        false => json!(text).to_string(),
        true => format!("\"{}\"", text.encode_utf16().map(|u| format!("\\u{u:04x}")).collect::<String>()),
    };
    let value = match value {
        Value::String(s) => escaped(s, how & 2 != 0),
        other if how & 4 != 0 => serde_json::to_string_pretty(other).unwrap(),
        other => other.to_string(),
    };
    format!("{} :{value}", escaped(key, how & 1 != 0))
}

/// All values of the member `model`, by serde_json.
struct Models(Vec<Value>);

impl<'de> serde::Deserialize<'de> for Models {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Models;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Models, A::Error> {
                let mut models = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if key == "model" {
                        models.push(value);
                    }
                }
                Ok(Models(models))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scanner_agrees_with_serde_json() {
    let (stack, _upstreams) = any_model(&Settings::default()).await;
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..600 {
        let body = bodies().new_tree(&mut runner).unwrap().current();
        let answer = stack.post("/v1/x", body.clone()).await;
        let seen = if answer.status == 200 {
            Ok(answer.received("x-gateway-model-name").unwrap())
        } else {
            Err(answer.reason())
        };
        let Ok(Models(models)) = serde_json::from_str(&body) else {
            // Deeper faults are left to the model server; ours is an answer or a refusal, never an error.
            assert!(seen.is_ok() || answer.status == 400, "{body}: {answer:?}");
            continue;
        };
        let valid = |v: &Value| {
            v.as_str().is_some_and(|m| {
                !m.is_empty()
                    && m.len() <= 256
                    && !m.chars().any(|c| c.is_ascii_control())
                    && m.trim_matches(' ') == m
            })
        };
        match models.as_slice() {
            [] => assert_eq!(seen, Err("model_required".to_owned()), "{body}"),
            [one] if valid(one) => assert_eq!(seen, Ok(one.as_str().unwrap().to_owned()), "{body}"),
            [one, ..] if !valid(one) => assert_eq!(seen, Err("invalid_model".to_owned()), "{body}"),
            _ => assert_eq!(seen, Err("duplicate_model".to_owned()), "{body}"),
        }
        if seen.is_ok() { read += 1 } else { refused += 1 }
    }
    assert!(read > 50 && refused > 50, "one-sided: {read} read, {refused} refused");
    stack.assert_no_script_errors();
}
