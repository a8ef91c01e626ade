//! Reads a completion or chat request into a job, or decides why it is refused.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::refusal::Refusal;
use crate::simulator::{
    engine::Job,
    pod::Pod,
    tokens::{self, Token},
};

/// Tokens that a part of a message counts for which is no text.
const MEDIA_TOKENS: u32 = 256;

/// What is to be generated, and how it is to be sent.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) job: Job,
    /// The model as the client named it.
    pub(super) model: String,
    pub(super) chat: bool,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) id: String,
}

#[derive(Deserialize)]
struct Ask {
    model: String,
    prompt: Option<Prompt>,
    messages: Option<Vec<Message>>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    ignore_eos: bool,
    cache_salt: Option<String>,
    seed: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Prompt {
    Text(String),
    Tokens(Vec<Token>),
    Texts(Vec<String>),
    TokenLists(Vec<Vec<Token>>),
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Value>),
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// Reads a request's body; `number` is the request's.
pub(super) fn read(pod: &Pod, body: &Bytes, chat: bool, number: u64) -> Result<Plan, Refusal> {
    let ask: Ask = serde_json::from_slice(body).map_err(|error| Refusal::bad_request(error.to_string()))?;
    let config = pod.config();
    let adapter = match () {
        () if config.names().contains(&ask.model) => None,
        () if pod.with_engine(|engine| engine.adapters().knows(&ask.model)) => Some(ask.model.clone()),
        () => {
            return Err(
                Refusal::not_found(format!("The model `{}` does not exist.", ask.model)).about("model")
            );
        }
    };
    let prompt = match (chat, ask.prompt, ask.messages) {
        (false, Some(prompt), _) => prompt_tokens(prompt)?,
        (true, _, Some(messages)) if !messages.is_empty() => chat_tokens(messages),
        (false, None, _) => return Err(Refusal::bad_request("prompt is required").about("prompt")),
        (true, ..) => return Err(Refusal::bad_request("messages is required").about("messages")),
    };
    if prompt.is_empty() {
        return Err(Refusal::bad_request("the prompt is empty").about("prompt"));
    }
    let room = config.max_model_len.saturating_sub(prompt.len());
    let max_tokens = match ask.max_completion_tokens.or(ask.max_tokens) {
        Some(given) if given < 1 => {
            return Err(Refusal::bad_request(format!("max_tokens must be at least 1, got {given}."))
                .about("max_tokens"));
        }
        Some(given) => usize::try_from(given).unwrap_or(usize::MAX),
        None if chat => room,
        None => room.min(16),
    };
    if max_tokens > room || room == 0 {
        return Err(Refusal::bad_request(format!(
            "This model's maximum context length is {} tokens. However, you requested {} tokens ({} in the prompt, \
             {max_tokens} in the completion). Please reduce the length of the prompt or completion.",
            config.max_model_len,
            prompt.len().saturating_add(max_tokens),
            prompt.len(),
        ))
        .about(if chat { "messages" } else { "prompt" }));
    }
    let natural_end = if ask.ignore_eos { usize::MAX } else { config.output_tokens };
    let seed = ask.seed.unwrap_or(config.seed);
    let salt = ask.cache_salt.map_or(0, |salt| xxh3_64(salt.as_bytes()));
    let kind = if chat { "chatcmpl" } else { "cmpl" };
    Ok(Plan {
        job: Job { prompt, max_tokens, natural_end, adapter, salt, seed },
        model: ask.model,
        chat,
        stream: ask.stream,
        include_usage: ask.stream_options.is_some_and(|options| options.include_usage),
        id: format!("{kind}-{}-{number}", config.name),
    })
}

fn prompt_tokens(prompt: Prompt) -> Result<Vec<Token>, Refusal> {
    match prompt {
        Prompt::Text(text) => Ok(tokens::tokenize(&text).collect()),
        Prompt::Tokens(tokens) => Ok(tokens),
        Prompt::Texts(texts) if texts.len() == 1 => Ok(tokens::tokenize(&texts[0]).collect()),
        Prompt::TokenLists(mut lists) if lists.len() == 1 => Ok(lists.remove(0)),
        Prompt::Texts(_) | Prompt::TokenLists(_) => {
            Err(Refusal::bad_request("the simulator takes one prompt").about("prompt"))
        }
    }
}

fn chat_tokens(messages: Vec<Message>) -> Vec<Token> {
    let mut prompt = Vec::new();
    for message in messages {
        prompt.push(tokens::role(&message.role));
        match message.content {
            None => {}
            Some(Content::Text(text)) => prompt.extend(tokens::tokenize(&text)),
            Some(Content::Parts(parts)) => {
                for part in parts {
                    match part.get("text").and_then(Value::as_str) {
                        Some(text) => prompt.extend(tokens::tokenize(text)),
                        None => {
                            let media = tokens::id(part.to_string().as_bytes());
                            prompt.extend((0..MEDIA_TOKENS).map(|i| media.wrapping_add(i)));
                        }
                    }
                }
            }
        }
    }
    prompt.push(tokens::role("assistant"));
    prompt
}
