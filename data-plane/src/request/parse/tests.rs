//! Bodies that clients send, and bodies that try to mislead.

use proptest::prelude::*;

use super::*;

fn chat(body: &str) -> Inference<'_> {
    parse(b"/v1/chat/completions", body.as_bytes())
}

#[test]
fn apis_are_known_by_the_end_of_the_path() {
    for (path, api) in [
        ("/v1/chat/completions", Api::Chat),
        ("/openai/v1/chat/completions?api-version=1", Api::Chat),
        ("/v1/completions/", Api::Completions),
        ("/v1/responses", Api::Responses),
        ("/v1/embeddings", Api::Embeddings),
        ("/v1/messages?beta=true", Api::Messages),
        ("/v1/messages/count_tokens", Api::Messages),
        ("/generate", Api::Generate),
        ("/inference/v1/generate", Api::Generate),
        ("/generate_stream", Api::Generate),
        ("/v1/rerank", Api::Opaque),
        ("/vllm.Generation/Generate", Api::Opaque),
        ("/", Api::Opaque),
    ] {
        assert_eq!(Api::of(path.as_bytes()), api, "{path}");
    }
}

#[test]
fn a_chat_request_is_read_in_any_member_order() {
    let body = r#" { "messages": [ {"role":"system","content":"12345678"},
        {"role":"user","content":[{"type":"text","text":"abcd"},{"type":"image_url","image_url":{"url":"data:image/gif;base64,xx"}}]} ],
        "stream" : true, "max_tokens": 7, "max_completion_tokens": 9, "cache_salt":"s", "model": "llama-3" } "#;
    let found = chat(body);
    assert_eq!(found.model.as_deref(), Some("llama-3"));
    assert_eq!(&body[found.model_at.clone()], "\"llama-3\"");
    assert!(found.stream);
    assert_eq!(found.max_tokens, Some(9), "max_completion_tokens wins");
    assert_eq!(found.prompt.text(), 12, "8 + 4 bytes of text, no image bytes");
    assert_eq!(found.prompt.tokens(4.0), 3 + 1_024, "an image of unknown size");
    assert_eq!(found.prompt.tokens(2.0), 6 + 1_024);
    assert_eq!(found.cache_salt, b"\"s\"");
}

/// Path, body, bytes of text, other tokens, output limit.
type Case = (&'static str, &'static str, usize, usize, Option<u32>);

const KINDS: &[Case] = &[
    ("/v1/completions", r#"{"prompt":"12345678","max_tokens":5}"#, 8, 0, Some(5)),
    ("/v1/completions", r#"{"prompt":["1234","5678"]}"#, 8, 0, None),
    ("/v1/completions", r#"{"prompt":[1, 22,333]}"#, 0, 3, None),
    ("/v1/completions", r#"{"prompt":[[1,2],[3]]}"#, 0, 3, None),
    ("/v1/completions", r#"{"prompt":"","messages":"not here"}"#, 0, 0, None),
    ("/v1/chat/completions", r#"{"messages":[],"prompt":"not here"}"#, 0, 0, None),
    (
        "/v1/chat/completions",
        r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"x","type":"function","function":{"name":"ab","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"x","content":"ok"}],"tools":[{"type":"function"}]}"#,
        6 + 21,
        0,
        None,
    ),
    (
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}},
            {"type":"video_url","video_url":{"url":"https://a/b"}},{"type":"text","text":"hear"}]}]}"#,
        4,
        1 + 4_096,
        None,
    ),
    ("/v1/responses", r#"{"input":"1234","instructions":"56","max_output_tokens":8}"#, 6, 0, Some(8)),
    (
        "/v1/responses",
        r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"abc"},{"type":"input_image","image_url":"https://a/b.png"}]},
            {"type":"function_call_output","call_id":"c","output":"done"}],"stream":true}"#,
        7,
        1_024,
        None,
    ),
    ("/v1/embeddings", r#"{"input":["1234","56"],"max_tokens":9}"#, 6, 0, Some(0)),
    ("/v1/embeddings", r#"{"input":[[1,2,3]]}"#, 0, 3, Some(0)),
    (
        "/v1/messages",
        r#"{"system":[{"type":"text","text":"12","cache_control":{"type":"ephemeral"}}],"max_tokens":64,"messages":[
            {"role":"user","content":"3456"},{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"R0lG"}},
            {"type":"tool_result","tool_use_id":"t","content":"78"}]}]}"#,
        8,
        1_024,
        Some(64),
    ),
    (
        "/generate",
        r#"{"text":"12345","sampling_params":{"temperature":0,"max_new_tokens":16}}"#,
        5,
        0,
        Some(16),
    ),
    ("/generate", r#"{"input_ids":[5,6,7],"lora_path":"sql"}"#, 0, 3, None),
    ("/generate", r#"{"prompt":"12345","max_tokens":3}"#, 5, 0, Some(3)),
    ("/inference/v1/generate", r#"{"token_ids":[1,2],"sampling_params":{"max_tokens":4}}"#, 0, 2, Some(4)),
    ("/generate_stream", r#"{"inputs":"123","parameters":{"max_new_tokens":7}}"#, 3, 0, Some(7)),
    ("/v1/rerank", r#"{"query":"12","documents":["345",{"text":"67"}]}"#, 7, 0, None),
    ("/tokenize", r#"{"prompt":"1234"}"#, 4, 0, None),
    ("/unknown", r#"{"anything":"1234"}"#, 0, 0, None),
];

#[test]
fn each_kind_of_request_has_its_prompt_and_its_output_limit() {
    for (path, body, text, other, limit) in KINDS {
        let found = parse(path.as_bytes(), body.as_bytes());
        let read = (found.prompt.text(), found.prompt.other_tokens(), found.max_tokens);
        assert_eq!(read, (*text, *other, *limit), "{path} {body}");
    }
}

fn pieces(path: &str, body: &str) -> Vec<String> {
    let mut all = Vec::new();
    parse(path.as_bytes(), body.as_bytes()).prompt.pieces(body.as_bytes(), |piece| {
        all.push(match piece {
            Piece::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Piece::Media(media, tokens) => format!("<{} {tokens}>", String::from_utf8_lossy(media)),
        });
    });
    all.retain(|piece| !piece.is_empty());
    all
}

#[test]
fn the_pieces_of_a_prompt_come_in_the_order_of_templates_with_media_apart() {
    assert_eq!(
        pieces(
            "/v1/messages",
            r#"{"messages":[{"content":[{"type":"image","source":{"type":"url","url":"https://i"}},"x"]}],"tools":[1],"system":"s"}"#
        ),
        [
            "[1]",
            "\"s\"",
            r#"[{"content":[{"type":"image","source":{"type":"url","url":""#,
            "<https://i 1024>",
            r#""}},"x"]}]"#
        ]
    );
    let repeated = r#"{"messages":[{"content":[{"image_url":{"url":"https://i"}}]}],"messages":["x"]}"#;
    assert_eq!(
        pieces("/v1/chat/completions", repeated),
        [r#"["x"]"#],
        "the last one counts, without media of others"
    );
    assert_eq!(pieces("/generate", r#"{"text":"a","text":"b"}"#), ["\"b\""]);
}

#[test]
fn adapters_of_native_requests_are_told() {
    assert_eq!(parse(b"/generate", br#"{"text":"a","lora_path":"sql"}"#).adapter, b"\"sql\"");
}

#[test]
fn the_model_is_the_top_level_one() {
    for (body, model) in [
        (r#"{"a":{"model":"x"},"model":"m"}"#, Some("m")),
        (r#"{"a":"\"model\":\"x\"","model":"m"}"#, Some("m")),
        (r#"{"model":"m","a":[{"model":"x"}]}"#, Some("m")),
        (r#"{"model":"x","model":"m"}"#, Some("m")),
        (r#"{"mod\u0065l":"m"}"#, Some("m")),
        (r#"{"model":"a\"b\\"}"#, Some("a\"b\\")),
        (r#"{"model":7}"#, None),
        (r#"{"model":null}"#, None),
        ("{}", None),
    ] {
        assert_eq!(chat(body).model.as_deref(), model, "{body}");
    }
}

#[test]
fn broken_bodies_are_opaque() {
    let deep = format!("{{\"model\":\"m\",\"a\":{}1{}}}", "[".repeat(600), "]".repeat(600));
    for body in [
        "",
        "[]",
        "\"m\"",
        "{\"model\":\"m\"",
        "{\"model\":\"m\"} x",
        "{\"model\":\"m\",\"a\":[}",
        "{\"model\":}",
        &deep,
    ] {
        assert_eq!(chat(body), Inference::unknown(Api::Chat), "{body}");
    }
    assert_eq!(parse(b"/v1/chat/completions", b"{\"model\":\"\xff\"}").model, None);
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        "[a-z\"\\\\\\n\u{e9}{}:,]{0,12}".prop_map(Into::into)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-z\"\\\\]{0,5}", inner, 0..4)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_yields_its_model(
        members in prop::collection::btree_map("(model|prompt|messages|stream|tools|system|input|[a-z\"]{0,5})", json(), 0..6),
        pretty in any::<bool>(),
    ) {
        let document = serde_json::Value::Object(members.into_iter().collect());
        let body = if pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) }.unwrap();
        for path in ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/generate", "/v1/x"] {
            let found = parse(path.as_bytes(), &body);
            prop_assert_eq!(found.model.as_deref(), document["model"].as_str());
            prop_assert_eq!(found.stream, document["stream"] == true);
            let mut len = 0;
            found.prompt.pieces(&body, |piece| match piece {
                Piece::Text(text) | Piece::Media(text, _) => len += text.len(),
            });
            prop_assert_eq!(len, found.prompt.bytes());
        }
    }

    #[test]
    fn any_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..200)) {
        parse(b"/v1/chat/completions", &body);
    }
}

#[test]
fn one_list_of_token_ids_is_known_and_nothing_else() {
    for (path, body, expected) in [
        ("/v1/completions", r#"{"prompt":[1, 22,333]}"#, &[1, 22, 333][..]),
        ("/generate", "{\"input_ids\":[\n7\n]}", &[7]),
        ("/v1/completions", r#"{"prompt":[[1,2]]}"#, &[]),
        ("/v1/completions", r#"{"prompt":[1,-2]}"#, &[]),
        ("/v1/completions", r#"{"prompt":[1,2.5]}"#, &[]),
        ("/v1/completions", r#"{"prompt":[1,"a"]}"#, &[]),
        ("/v1/completions", r#"{"prompt":"12345678"}"#, &[]),
        ("/v1/completions", r#"{"prompt":[]}"#, &[]),
        ("/v1/completions", r#"{"prompt":5}"#, &[]),
        ("/other", r#"{"prompt":[5],"system":"x"}"#, &[]),
    ] {
        let found = parse(path.as_bytes(), body.as_bytes());
        assert_eq!(found.prompt.ids(body.as_bytes()), expected, "{body}");
    }
    let body = br#"{"prompt":[1],"cache_salt":"s"}"#;
    assert_eq!(parse(b"/v1/completions", body).salt(), b"s");
    assert_eq!(parse(b"/v1/completions", br#"{"cache_salt":5}"#).salt(), b"");
}
