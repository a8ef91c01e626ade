//! An answer as server-sent events: a chunk for each token, the usage when asked for, `[DONE]`.

use std::{collections::VecDeque, io};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body::Frame;
use serde_json::{Value, json};

use super::generate::{Answer, finish_reason};
use crate::simulator::{engine::Event, faults::Faults, pod::Generation, wire::Reset};

struct State {
    answer: Answer,
    generation: Generation,
    faults: Faults,
    reset: Reset,
    tokens: usize,
    cached: usize,
    ready: VecDeque<Bytes>,
}

/// The body's frames. Dropping the stream stops the generation.
pub(super) fn events(
    answer: Answer,
    generation: Generation,
    faults: Faults,
    reset: Reset,
) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static {
    let state = State { answer, generation, faults, reset, tokens: 0, cached: 0, ready: VecDeque::new() };
    stream::try_unfold(state, |mut state| async move {
        loop {
            if let Some(bytes) = state.ready.pop_front() {
                return Ok(Some((Frame::data(bytes), state)));
            }
            match state.generation.next().await {
                Some(event) => state.take(event).await?,
                None => return Ok(None),
            }
        }
    })
}

impl State {
    async fn take(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Token { index, cached } => {
                interrupt(&self.faults, index, &self.reset).await?;
                (self.tokens, self.cached) = (index + 1, cached);
                let text = self.answer.text(index);
                if self.answer.chat && index == 0 {
                    let delta = json!({"role": "assistant", "content": ""});
                    self.push(&json!({"index": 0, "delta": delta, "finish_reason": null}));
                }
                self.push(&if self.answer.chat {
                    json!({"index": 0, "delta": {"content": text}, "finish_reason": null})
                } else {
                    json!({"index": 0, "text": text, "finish_reason": null, "logprobs": null})
                });
            }
            Event::Finished(finish) => {
                let reason = finish_reason(finish);
                let last = if self.answer.chat {
                    json!({"index": 0, "delta": {}, "finish_reason": reason})
                } else {
                    json!({"index": 0, "text": "", "finish_reason": reason})
                };
                self.push(&last);
                if self.answer.include_usage {
                    let mut object = self.answer.object(true, &json!([]));
                    object["usage"] = self.answer.usage(self.tokens, self.cached);
                    self.send(&object);
                }
                self.ready.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
            }
        }
        Ok(())
    }

    fn push(&mut self, choice: &Value) {
        let object = self.answer.object(true, &json!([choice]));
        self.send(&object);
    }

    fn send(&mut self, object: &Value) {
        self.ready.push_back(Bytes::from(format!("data: {object}\n\n")));
    }
}

/// Shows the faults that come after some tokens.
pub(super) async fn interrupt(faults: &Faults, tokens: usize, reset: &Reset) -> io::Result<()> {
    if faults.reset_after.is_some_and(|after| tokens >= after) {
        reset.order();
        return Err(io::Error::new(io::ErrorKind::ConnectionReset, "reset on demand"));
    }
    if faults.hang_after.is_some_and(|after| tokens >= after) {
        std::future::pending::<()>().await;
    }
    Ok(())
}
