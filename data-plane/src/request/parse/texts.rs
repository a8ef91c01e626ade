//! The texts of a prompt, as a tokenizer reads them: without JSON's quotes and escapes.
//!
//! ```text
//! places of tools, system, prompt ─ scanned again ─▶ texts, and whether a template is put around them
//! ```

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

use super::media::Kind;
use super::prompt::{Content, content};
use super::scan::{Scan, Tally};
use super::{Api, Inference};

/// What an engine makes of texts before it tokenizes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Nothing: each text is a prompt.
    Plain {
        /// The tokenizer adds what the model's prompts begin or end with.
        special_tokens: bool,
    },
    /// The model's chat template is put around them.
    Chat {
        /// Messages, the system's included.
        messages: u32,
        /// It has tools, which templates print in ways of their own.
        tools: bool,
    },
}

/// The texts of one prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts<'a> {
    /// What is made of them.
    pub form: Form,
    /// In the order of templates: tools first, as JSON.
    pub texts: SmallVec<[Cow<'a, str>; 4]>,
}

impl Inference<'_> {
    /// The texts in `body`, which this was read from. None when the API is not known to make a prompt of them, or one
    /// of them is no text.
    pub fn texts<'a>(&self, body: &'a [u8]) -> Option<Texts<'a>> {
        if self.api == Api::Opaque {
            return None;
        }
        let [tools, system, prompt] = self.prompt.places();
        let mut found = Found::default();
        for part in [&system, &prompt] {
            if !part.is_empty() {
                Scan::at(body, part.start).value(&mut found)?;
            }
        }
        let plain =
            matches!(self.api, Api::Completions | Api::Generate | Api::Embeddings) && found.roles == 0;
        let form = match plain {
            true => Form::Plain { special_tokens: self.special_tokens },
            false => Form::Chat {
                messages: found.roles.max(1) + u32::from(!system.is_empty()),
                tools: !tools.is_empty(),
            },
        };
        let mut texts = SmallVec::with_capacity(found.at.len() + 1);
        if !tools.is_empty() {
            texts.push(Cow::Borrowed(std::str::from_utf8(&body[tools]).ok()?));
        }
        for at in found.at {
            texts.push(Scan::at(body, at.start).text(&at)?);
        }
        Some(Texts { form, texts })
    }
}

/// Where texts are.
#[derive(Default)]
struct Found {
    at: SmallVec<[Range<usize>; 4]>,
    roles: u32,
    kind: Option<Kind>,
}

impl Tally for Found {
    fn text(&mut self, key: &[u8], text: &[u8], at: usize) {
        self.roles += u32::from(key == b"role");
        if matches!(content(key, text, &mut self.kind), Content::Text) {
            self.at.push(at..at + text.len());
        }
    }

    fn number(&mut self, _: &[u8]) {}
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn of(path: &str, body: &str) -> Option<(Form, Vec<String>)> {
        let texts = parse(path.as_bytes(), body.as_bytes()).texts(body.as_bytes())?;
        Some((texts.form, texts.texts.into_iter().map(Cow::into_owned).collect()))
    }

    #[test]
    fn texts_are_what_engines_tokenize() {
        let plain = Form::Plain { special_tokens: true };
        let chat = |messages, tools| Form::Chat { messages, tools };
        let completions = "/v1/completions";
        for (path, body, form, texts) in [
            (completions, r#"{"prompt":"a \"b\"\n\u00e9"}"#, plain, &["a \"b\"\né"][..]),
            (completions, r#"{"prompt":["a","b"]}"#, plain, &["a", "b"]),
            (
                completions,
                r#"{"prompt":"a","add_special_tokens":false}"#,
                Form::Plain { special_tokens: false },
                &["a"],
            ),
            ("/v1/embeddings", r#"{"input":["a","b"]}"#, plain, &["a", "b"]),
            ("/v1/embeddings", r#"{"messages":[{"role":"user","content":"a"}]}"#, chat(1, false), &["a"]),
            (
                "/v1/chat/completions",
                r#"{"messages":[{"role":"system","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]}],
                    "tools":[{"x": 1}]}"#,
                chat(2, true),
                &[r#"[{"x": 1}]"#, "a", "b"],
            ),
            (
                "/v1/messages",
                r#"{"messages":[{"role":"user","content":"b"}],"system":"a"}"#,
                chat(2, false),
                &["a", "b"],
            ),
            ("/v1/responses", r#"{"input":"a"}"#, chat(1, false), &["a"]),
        ] {
            let texts = texts.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(of(path, body), Some((form, texts)), "{path} {body}");
        }
    }

    #[test]
    fn what_is_no_text_or_no_prompt_has_none() {
        assert_eq!(of("/v1/rerank", r#"{"query":"a","documents":["b"]}"#), None);
        assert_eq!(of("/v1/completions", r#"{"prompt":"\ud800"}"#), None, "half a character");
    }
}
