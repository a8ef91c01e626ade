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
        ("/v1/embeddings", Api::Opaque),
        ("/", Api::Opaque),
    ] {
        assert_eq!(Api::of(path.as_bytes()), api, "{path}");
    }
}

#[test]
fn a_chat_request_is_read_in_any_member_order() {
    let body = r#" { "messages": [ {"role":"system","content":"12345678"},
        {"role":"user","content":[{"type":"text","text":"abcd"},{"type":"image_url","image_url":{"url":"data:xxxxxxxx"}}]} ],
        "stream" : true, "max_tokens": 7, "max_completion_tokens": 9, "cache_salt":"s", "model": "llama-3" } "#;
    let found = chat(body);
    assert_eq!(found.model.as_deref(), Some("llama-3"));
    assert_eq!(&body[found.model_at.clone()], "\"llama-3\"");
    assert!(found.stream);
    assert_eq!(found.max_tokens, Some(9), "max_completion_tokens wins");
    assert_eq!(found.prompt_tokens, 3, "8 + 4 bytes of text, no image bytes");
    assert!(body[found.prompt_at.clone()].starts_with("[ {\"role\""));
    assert_eq!(found.cache_salt, b"\"s\"");
}

#[test]
fn prompts_of_completions_are_texts_or_token_ids() {
    for (prompt, tokens) in
        [("\"12345678\"", 2), ("[\"1234\",\"5678\"]", 2), ("[1, 22,333]", 3), ("[[1,2],[3]]", 3), ("\"\"", 0)]
    {
        let body = format!("{{\"model\":\"m\",\"prompt\":{prompt}}}");
        assert_eq!(parse(b"/v1/completions", body.as_bytes()).prompt_tokens, tokens, "{prompt}");
    }
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
        members in prop::collection::btree_map("(model|prompt|messages|stream|tools|[a-z\"]{0,5})", json(), 0..6),
        pretty in any::<bool>(),
    ) {
        let document = serde_json::Value::Object(members.into_iter().collect());
        let body = if pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) }.unwrap();
        for path in ["/v1/chat/completions", "/v1/completions", "/v1/x"] {
            let found = parse(path.as_bytes(), &body);
            prop_assert_eq!(found.model.as_deref(), document["model"].as_str());
            prop_assert_eq!(found.stream, document["stream"] == true);
        }
    }

    #[test]
    fn any_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..200)) {
        parse(b"/v1/chat/completions", &body);
    }
}
