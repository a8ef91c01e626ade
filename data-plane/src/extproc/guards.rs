//! What is held for a request in flight, and told what happens to it.
//!
//! ```text
//! Seen (served, first byte, failed, usage, end) ─▶ Guards ─▶ outcome, metrics, record, what is learned of tokens
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lane::Lane;
use super::session::Seen;
use crate::decisions::Follow;
use crate::flow::Ticket;
use crate::metrics::PickMetrics;
use crate::outcome::{Outcome, Usage};
use crate::request::parse::Inference;
use crate::spans::Running;
use crate::tokenizer::Counted;

/// What is held while a request is in flight; dropped when it ends in whatever way.
#[derive(Debug)]
pub struct Guards {
    /// Accounting at the endpoint.
    pub outcome: Outcome,
    /// Accounting at the endpoint that computes the prompt, until the first byte.
    pub prefill: Option<Outcome>,
    /// The place inside the gate.
    pub ticket: Ticket,
    /// What a report of the prompt's tokens teaches, when the prompt is text and nothing else.
    pub prompt: Option<Prompt>,
    /// What is counted of it.
    pub counted: Arc<PickMetrics>,
    /// Prompt tokens that the pick expects to be cached.
    pub cached_tokens: u32,
    /// Writes down what happens, of a request whose decision is recorded.
    pub follow: Option<Follow>,
    /// Its span, when it is traced.
    pub span: Option<Box<Running>>,
    /// What the response said of itself.
    pub usage: Usage,
}

/// A prompt of text.
#[derive(Debug)]
pub struct Prompt {
    /// The model that it is for.
    pub model: String,
    /// Bytes of text.
    pub text: usize,
    /// What was counted of it.
    pub counted: Option<Counted>,
}

impl Prompt {
    /// The prompt of a request for `model`.
    pub(super) fn of(found: &Inference<'_>, model: &str, counted: Option<&Counted>) -> Option<Self> {
        let text = found.prompt.text();
        let counted = || counted.map(Counted::without_ids);
        let only_text = found.prompt.other_tokens() == 0;
        only_text.then(|| Self { model: model.to_owned(), text, counted: counted() })
    }

    /// A model server says that it has so many tokens.
    fn reported(&self, lane: &Lane, tokens: u32) {
        lane.tokens.learn(&self.model, self.text, tokens);
        if let Some((counter, counted)) = lane.counter.as_ref().zip(self.counted.as_ref()) {
            counter.reported(counted, &lane.tokens, tokens);
        }
    }
}

impl Guards {
    /// Tells the accounts what was seen at `now`.
    pub(super) fn account(&mut self, seen: Seen, lane: &Lane, now: Instant) {
        if let Some(follow) = &self.follow {
            match seen {
                Seen::Served(addr) => follow.served(addr),
                Seen::FirstByte => follow.first_byte(now),
                Seen::Failed(status) => follow.failed(status),
                Seen::Usage(_) => {}
                Seen::Ended => follow.ended(now, self.usage),
            }
        }
        if let Some(span) = &mut self.span {
            match seen {
                Seen::Served(addr) => span.served(addr),
                Seen::FirstByte => span.first_byte(now),
                Seen::Failed(status) => span.failed(status),
                Seen::Usage(_) => {}
                Seen::Ended => span.used(self.usage),
            }
        }
        let outcome = &mut self.outcome;
        match seen {
            Seen::Served(addr) => outcome.served(addr),
            Seen::FirstByte => {
                outcome.first_byte(now);
                if let Some((expected, observed)) = outcome.first_token() {
                    self.counted.first_token(expected, observed);
                }
                self.prefill = None;
            }
            Seen::Failed(status) => {
                self.counted.failed(status);
                outcome.failed(status);
            }
            Seen::Usage(usage) => {
                if let Some(cached) = usage.cached_tokens {
                    outcome.reported(cached);
                    self.counted.cached(self.cached_tokens, cached);
                }
                self.usage = Usage {
                    prompt_tokens: known(usage.prompt_tokens),
                    cached_tokens: usage.cached_tokens,
                    output_tokens: known(usage.output_tokens),
                };
                if let Some((prompt, tokens)) = self.prompt.as_ref().zip(self.usage.prompt_tokens) {
                    prompt.reported(lane, tokens);
                }
            }
            Seen::Ended => outcome.ended(now, self.usage),
        }
    }

    /// The request is ended here for this reason.
    pub(super) fn refused(&mut self, reason: &'static str) {
        if let Some(follow) = &self.follow {
            follow.refused(reason);
        }
        if let Some(span) = &mut self.span {
            span.refused(reason);
        }
    }

    /// The request, which arrived so long ago, has ended.
    pub(super) fn finish(self, since: Duration) {
        if self.outcome.has_begun() {
            self.counted.ended(since);
        }
    }
}

/// A count that model servers give as 0 when they do not count.
fn known(count: u32) -> Option<u32> {
    Some(count).filter(|count| *count > 0)
}
