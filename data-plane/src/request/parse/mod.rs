//! What a request asks for, read from its body in one pass without building a document.
//!
//! ```text
//! path ─▶ Api        body ─ scan (top-level members) ─▶ model, stream, max_tokens, cache_salt, prompt
//! ```
//! A body that is not a JSON object is opaque: it is routed without these. Nothing is validated here, the model server
//! does that; of repeated members the last one counts, as it does for model servers.

mod api;
mod media;
mod prompt;
mod scan;
mod texts;

use std::borrow::Cow;
use std::ops::Range;

use api::{Member, member};
use scan::Scan;

pub use api::Api;
pub use media::Media;
pub use prompt::{Piece, Prompt};
pub use texts::{Form, Texts};

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference<'a> {
    /// The API of its path.
    pub api: Api,
    /// The model's name; None when the body has none.
    pub model: Option<Cow<'a, str>>,
    /// Where the model's JSON string is in the body, quotes included.
    pub model_at: Range<usize>,
    /// The response is streamed.
    pub stream: bool,
    /// The most output tokens, by the name that the API has for it; 0 for embeddings.
    pub max_tokens: Option<u32>,
    /// The prompt.
    pub prompt: Prompt,
    /// `cache_salt`: prefixes are shared only among equal salts.
    pub cache_salt: &'a [u8],
    /// `lora_path` of SGLang: prefixes are shared only among equal adapters.
    pub adapter: &'a [u8],
    /// `add_special_tokens` is not false.
    pub special_tokens: bool,
}

impl Inference<'_> {
    /// The cache salt as model servers read it; empty for none.
    pub fn salt(&self) -> &[u8] {
        let text = self.cache_salt.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
        text.unwrap_or_default()
    }

    fn unknown(api: Api) -> Self {
        Self {
            api,
            model: None,
            model_at: 0..0,
            stream: false,
            max_tokens: (api == Api::Embeddings).then_some(0),
            prompt: Prompt::default(),
            cache_salt: &[],
            adapter: &[],
            special_tokens: true,
        }
    }
}

/// Reads `body`, which was sent to `path`.
pub fn parse<'a>(path: &[u8], body: &'a [u8]) -> Inference<'a> {
    let api = Api::of(path);
    members(api, body).unwrap_or_else(|| Inference::unknown(api))
}

fn members(api: Api, body: &[u8]) -> Option<Inference<'_>> {
    let mut found = Inference::unknown(api);
    let mut completion_tokens = None;
    let mut scan = Scan::object(body)?;
    while let Some(key) = scan.key()? {
        let key = scan.text(&key)?;
        match member(api, &key) {
            Some(Member::Model) => {
                found.model_at = scan.value(&mut ())?;
                found.model = scan.string_at(&found.model_at);
            }
            Some(Member::Stream) => found.stream = &body[scan.value(&mut ())?] == b"true",
            Some(Member::MaxTokens) => found.max_tokens = scan.number()?,
            Some(Member::MaxCompletionTokens) => completion_tokens = scan.number()?,
            Some(Member::Sampling) => {
                found.max_tokens = output_limit(&body[scan.value(&mut ())?]).or(found.max_tokens);
            }
            Some(Member::CacheSalt) => found.cache_salt = &body[scan.value(&mut ())?],
            Some(Member::Adapter) => found.adapter = &body[scan.value(&mut ())?],
            Some(Member::SpecialTokens) => {
                found.special_tokens = &body[scan.value(&mut ())?] != b"false";
            }
            Some(Member::Prompt(part)) => {
                let at = scan.value(&mut found.prompt.count(part))?;
                found.prompt.place(part, at);
            }
            None => {
                scan.value(&mut ())?;
            }
        }
    }
    found.max_tokens = completion_tokens.or(found.max_tokens);
    Some(found)
}

/// The output limit in the sampling parameters of a native API.
fn output_limit(parameters: &[u8]) -> Option<u32> {
    let mut scan = Scan::object(parameters)?;
    let mut limit = None;
    while let Some(key) = scan.key()? {
        match &*scan.text(&key)? {
            "max_new_tokens" | "max_tokens" => limit = scan.number()?.or(limit),
            _ => {
                scan.value(&mut ())?;
            }
        }
    }
    limit
}

#[cfg(test)]
mod tests;
