//! Answers completions and chats: whole, or as server-sent events.

use std::{
    io,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};

use super::{Body, ask::Plan, refusal::Refusal, stream};
use crate::simulator::{
    engine::{Event, Finish},
    faults::Faults,
    pod::Pod,
    tokens,
    wire::Reset,
};

/// What all parts of an answer have in common.
pub(super) struct Answer {
    id: String,
    model: String,
    created: u64,
    pub(super) chat: bool,
    pub(super) include_usage: bool,
    prompt_tokens: usize,
    seed: u64,
}

impl Answer {
    /// The text of a token.
    pub(super) fn text(&self, index: usize) -> String {
        format!("{}{}", if index == 0 { "" } else { " " }, tokens::word(self.seed, index))
    }

    /// The usage after so many tokens.
    pub(super) fn usage(&self, completion_tokens: usize, cached: usize) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": cached},
        })
    }

    /// An object of the API with these choices.
    pub(super) fn object(&self, chunk: bool, choices: &Value) -> Value {
        let object = match (self.chat, chunk) {
            (false, _) => "text_completion",
            (true, false) => "chat.completion",
            (true, true) => "chat.completion.chunk",
        };
        json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices,
        })
    }
}

/// The word for why an answer ended.
pub(super) fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

pub(super) async fn answer(
    pod: &Arc<Pod>,
    plan: Plan,
    faults: &Faults,
    reset: Reset,
) -> Result<Response<Body>, io::Error> {
    let answer = Answer {
        id: plan.id,
        model: plan.model,
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        chat: plan.chat,
        include_usage: plan.include_usage,
        prompt_tokens: plan.job.prompt.len(),
        seed: plan.job.seed,
    };
    let Some(mut generation) = pod.generate(plan.job) else {
        return Ok(Refusal::bad_request("the request is larger than the KV cache").into_response());
    };
    if plan.stream {
        let events = stream::events(answer, generation, faults.clone(), reset);
        let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(events)));
        let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        return Ok(response);
    }
    let (mut text, mut tokens, mut cached_tokens, mut reason) = (String::new(), 0, 0, None);
    while let Some(event) = generation.next().await {
        match event {
            Event::Token { index, cached } => {
                text.push_str(&answer.text(index));
                (tokens, cached_tokens) = (index + 1, cached);
                stream::interrupt(faults, tokens, &reset).await?;
            }
            Event::Finished(finish) => reason = Some(finish_reason(finish)),
        }
    }
    let mut choice = json!({"index": 0, "finish_reason": reason, "logprobs": null});
    if answer.chat {
        choice["message"] = json!({"role": "assistant", "content": text});
    } else {
        choice["text"] = Value::from(text);
    }
    let mut object = answer.object(false, &json!([choice]));
    object["usage"] = answer.usage(tokens, cached_tokens);
    Ok(super::json(StatusCode::OK, &object))
}
