//! What a request asks for, read from its body in one pass without building a document.
//!
//! ```text
//! path ─▶ Api        body ─ scan (top-level members) ─▶ model, stream, max_tokens, cache_salt, prompt
//! ```
//! A body that is not a JSON object is opaque: it is routed without these. Nothing is validated here, the model server
//! does that; of repeated members the last one counts, as it does for model servers.

mod chat;
mod completions;
mod opaque;
mod scan;

use std::borrow::Cow;
use std::ops::Range;

use scan::{Scan, Tally};

/// The API that a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `…/chat/completions`.
    Chat,
    /// `…/completions`.
    Completions,
    /// Any other: members are recognised by their names.
    Opaque,
}

impl Api {
    /// By `:path`; the query does not matter.
    pub fn of(path: &[u8]) -> Self {
        let path = path.split(|&b| b == b'?').next().unwrap_or(path);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if path.ends_with(b"/chat/completions") {
            Self::Chat
        } else if path.ends_with(b"/completions") {
            Self::Completions
        } else {
            Self::Opaque
        }
    }
}

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
    /// `max_completion_tokens`, else `max_tokens`.
    pub max_tokens: Option<u32>,
    /// Estimated tokens of the prompt: a quarter of its bytes, or the number of its token ids.
    pub prompt_tokens: u32,
    /// Where the prompt's JSON value is in the body.
    pub prompt_at: Range<usize>,
    /// `cache_salt`: prefixes are shared only among equal salts.
    pub cache_salt: &'a [u8],
}

impl Inference<'_> {
    fn unknown(api: Api) -> Self {
        Self {
            api,
            model: None,
            model_at: 0..0,
            stream: false,
            max_tokens: None,
            prompt_tokens: 0,
            prompt_at: 0..0,
            cache_salt: &[],
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
    let mut prompt = Size::default();
    let mut tools = 0;
    let mut completion_tokens = None;
    let mut scan = Scan::object(body)?;
    while let Some(key) = scan.key()? {
        let key = scan.text(&key)?;
        match &*key {
            "model" => {
                found.model_at = scan.value(&mut ())?;
                found.model = scan.string_at(&found.model_at);
            }
            "stream" => found.stream = &body[scan.value(&mut ())?] == b"true",
            "max_tokens" => found.max_tokens = scan.number()?,
            "max_completion_tokens" => completion_tokens = scan.number()?,
            "cache_salt" => found.cache_salt = &body[scan.value(&mut ())?],
            "tools" => tools = scan.value(&mut ())?.len(),
            name => {
                let tally = match opaque::prompt(api, name) {
                    Some(opaque::Prompt::Messages) => prompt.reset(chat::counts),
                    Some(opaque::Prompt::Text) => prompt.reset(completions::counts),
                    None => {
                        scan.value(&mut ())?;
                        continue;
                    }
                };
                found.prompt_at = scan.value(tally)?;
            }
        }
    }
    found.max_tokens = completion_tokens.or(found.max_tokens);
    let tokens = (prompt.text + tools).div_ceil(4) + prompt.ids;
    found.prompt_tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
    Some(found)
}

/// The size of a prompt.
#[derive(Default)]
struct Size {
    counts: Option<fn(&[u8]) -> bool>,
    text: usize,
    ids: usize,
}

impl Size {
    /// Starts anew, counting strings under keys that `counts` admits.
    fn reset(&mut self, counts: fn(&[u8]) -> bool) -> &mut Self {
        *self = Self { counts: Some(counts), text: 0, ids: 0 };
        self
    }
}

impl Tally for Size {
    fn text(&mut self, key: &[u8], bytes: usize) {
        if self.counts.is_some_and(|counts| counts(key)) {
            self.text += bytes;
        }
    }

    fn number(&mut self, key: &[u8]) {
        if key.is_empty() {
            self.ids += 1;
        }
    }
}

#[cfg(test)]
mod tests;
