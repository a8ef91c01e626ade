//! Counting with a tokenizer of words: a beginning, and one token for each.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::shelf::Files;
use super::*;
use crate::request::parse::parse;
use crate::request::tokens::Tokens;

/// A `tokenizer.json` in which word "wN" is token N, others are 1, and prompts begin with 0. It says that prompts are cut
/// after four tokens, which is the request's to say.
pub(crate) fn words(count: u32) -> String {
    let vocabulary: serde_json::Map<_, _> = (2..count).map(|n| (format!("w{n}"), n.into())).collect();
    let mut vocabulary = vocabulary;
    vocabulary.extend([("<s>".to_owned(), 0.into()), ("<unk>".to_owned(), 1.into())]);
    let begin = serde_json::json!({"SpecialToken": {"id": "<s>", "type_id": 0}});
    let sequence = serde_json::json!({"Sequence": {"id": "A", "type_id": 0}});
    serde_json::json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, sequence],
            "pair": [begin, sequence],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    })
    .to_string()
}

fn shelf(named: &[(&str, &Path)]) -> Shelf {
    let named = named.iter().map(|(model, path)| Named { model: (*model).to_owned(), path: path.into() });
    Shelf::new(Places { named: named.collect(), directory: None })
}

/// Counts with [`words`] for all models.
pub(crate) fn counter(deadline: Duration) -> Arc<Counter> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tokenizer.json"), words(100)).unwrap();
    let shelf = shelf(&[("*", dir.path())]);
    shelf.look(&mut Files::default());
    Arc::new(Counter::new(Arc::new(shelf), deadline))
}

async fn count(counter: &Arc<Counter>, path: &str, body: &str) -> Option<Counted> {
    let (path, body) = (Bytes::from(path.to_owned()), Bytes::from(body.to_owned()));
    let pending = counter.begin(&parse(&path, &body), "m", &path, &body)?;
    counter.count(pending).await
}

fn result(counter: &Counter, result: Result) -> u64 {
    counter.results().find(|(known, _)| *known == result).unwrap().1
}

#[test]
fn files_are_followed_and_broken_ones_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    let shelf = shelf(&[("llama", dir.path()), ("other", &dir.path().join("nowhere"))]);
    let mut files = Files::default();
    let mut look = |content: Option<&str>| {
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        shelf.look(&mut files);
        let count = shelf.get("llama").map(|read| read.encode("w2 w3 w4 w5 w6", true).unwrap());
        (count, shelf.files())
    };
    let six = Some(vec![0, 2, 3, 4, 5, 6]);
    assert_eq!(look(None), (None, (0, 2)));
    assert_eq!(look(Some("{")), (None, (0, 2)), "and the other one is missing");
    assert_eq!(look(Some(&words(10))), (six.clone(), (1, 1)));
    assert_eq!(look(Some("broken")), (six.clone(), (1, 2)), "the one before is used on");
    assert_eq!(look(None), (six, (1, 2)));
    assert_eq!(look(Some(&words(5))), (Some(vec![0, 2, 3, 4, 1, 1]), (1, 1)));
    assert!(shelf.get("other").is_none() && shelf.get("unheard-of").is_none());
    assert!(Vocabulary::parse(b"{\"model\": 1}").unwrap_err().len() > 4, "a reason");
}

#[tokio::test(start_paused = true)]
async fn plain_prompts_are_exact_and_chats_learn_their_template() {
    let counter = counter(Duration::from_secs(1));
    let learned = Tokens::default();
    for (path, body, tokens, ids) in [
        ("/v1/completions", r#"{"prompt":"w2 w3"}"#, 3, &[0, 2, 3][..]),
        ("/v1/completions", r#"{"prompt":"w2 w3","add_special_tokens":false}"#, 2, &[2, 3]),
        ("/v1/completions", r#"{"prompt":["w2","w3 w4"]}"#, 5, &[]),
        ("/v1/embeddings", r#"{"input":"w2"}"#, 2, &[0, 2]),
    ] {
        let counted = count(&counter, path, body).await.unwrap();
        assert_eq!((counted.prompt_tokens(&learned), counted.known_ids()), (tokens, ids), "{body}");
    }
    assert_eq!(result(&counter, Result::Exact), 4);
    let chat = r#"{"messages":[{"role":"user","content":"w2 w3 w4"},{"role":"assistant","content":"w5"}]}"#;
    let counted = count(&counter, "/v1/chat/completions", chat).await.unwrap();
    assert_eq!((counted.tokens, counted.prompt_tokens(&learned)), (4, 4 + 4 + 2 * 5));
    counter.reported(&counted, &learned, 4 + 31);
    assert_eq!(counted.prompt_tokens(&learned), 4 + 31);
    assert!(count(&counter, "/v1/completions", r#"{"prompt":[1,2]}"#).await.is_none(), "these are tokens");
    assert!(count(&counter, "/v1/completions", r#"{"prompt":"\ud800"}"#).await.is_none());
    assert_eq!((result(&counter, Result::Unreadable), result(&counter, Result::Chat)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn long_prompts_are_counted_within_the_deadline_or_not_at_all() {
    let counter = counter(Duration::from_millis(5));
    let text = "w7 ".repeat(1_000);
    let plain = format!(r#"{{"prompt":"{text}"}}"#);
    assert_eq!(count(&counter, "/v1/completions", &plain).await.unwrap().tokens, 1_001);
    let longer = format!(r#"{{"prompt":"{}"}}"#, "w7 ".repeat(1 << 20));
    assert!(count(&counter, "/v1/completions", &longer).await.is_none());
    assert_eq!(result(&counter, Result::TooLong), 1);
    // Somebody else has all threads: nothing is known in time.
    let all = counter.occupied().await;
    assert!(count(&counter, "/v1/completions", &plain).await.is_none());
    assert_eq!(result(&counter, Result::Deadline), 1);
    assert_eq!(count(&counter, "/v1/completions", r#"{"prompt":"w2"}"#).await.unwrap().tokens, 2);
    drop(all);
    assert_eq!(count(&counter, "/v1/completions", &plain).await.unwrap().tokens, 1_001);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_another_models_is_not_matched_with_caches() {
    let counter = counter(Duration::from_secs(1));
    let learned = Tokens::default();
    let counted = count(&counter, "/v1/completions", r#"{"prompt":"w2 w3"}"#).await.unwrap();
    assert_eq!(counted.known_ids().len(), 3);
    counter.reported(&counted, &learned, 7);
    assert!(counted.known_ids().is_empty());
    counter.reported(&counted, &learned, 3);
    assert_eq!((counted.known_ids().len(), counter.checks()), (3, (1, 1)));
}
