//! The request headers that decisions read.

use bytes::Bytes;

use crate::accelerator::Wishes;

/// Headers of a request; the rest is not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// `:path`, with its query.
    pub path: Bytes,
    /// `content-length`, when it is a number.
    pub content_length: Option<usize>,
    /// `x-gateway-inference-objective`, or llm-d's name of it.
    pub objective: Option<Bytes>,
    /// `x-gateway-model-name-rewrite`, or llm-d's name of it: the model to send instead, unless a rule says another.
    pub model_rewrite: Option<Bytes>,
    /// `x-request-id`.
    pub request_id: Option<Bytes>,
    /// What it wants of accelerators.
    pub wishes: Wishes,
}

impl Head {
    /// Takes one header; `keep` turns the value into a slice that outlives the message.
    pub fn take<'a>(&mut self, name: &[u8], value: &'a [u8], keep: impl Fn(&'a [u8]) -> Bytes) {
        match name {
            b":path" => self.path = keep(value),
            b"content-length" => {
                self.content_length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            }
            b"x-request-id" => self.request_id = Some(keep(value)),
            b"x-gateway-inference-objective" | b"x-llm-d-inference-objective" if !value.is_empty() => {
                self.objective = Some(keep(value));
            }
            b"x-gateway-model-name-rewrite" | b"x-llm-d-model-name-rewrite" if !value.is_empty() => {
                self.model_rewrite = Some(keep(value));
            }
            _ if name.starts_with(b"x-") => {
                self.wishes.take(name, value);
            }
            _ => {}
        }
    }
}
