//! What a request asks of a pool.

use std::net::IpAddr;

use crate::pool::Adapters;

/// Output tokens of a request that does not limit them further: the mean of published conversation traces is 211
/// (Azure 2023), and limits that clients send are upper bounds, mostly far above what is generated.
const USUAL_OUTPUT: u32 = 200;

/// One request, as far as the choice of endpoint depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// The model's name after rewrites; may be a LoRA adapter's.
    pub model: &'a str,
    /// Prompt tokens, estimated; 0 when unknown.
    pub prompt_tokens: u32,
    /// The most output tokens that the client wants.
    pub max_tokens: Option<u32>,
    /// Priority of its objective.
    pub priority: i32,
    /// The only endpoints that may be picked.
    pub subset: Option<&'a [SubsetEntry]>,
    /// Hashes of the prompt's blocks, each chained to the one before.
    pub blocks: &'a [u64],
}

/// One endpoint, or all ports of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubsetEntry {
    /// The address; an IPv4 address may be written as IPv6.
    pub ip: IpAddr,
    /// One port; none for every port.
    pub port: Option<u16>,
}

/// Output tokens expected of a request that wants at most `max_tokens`.
#[must_use]
pub fn expected_output(max_tokens: Option<u32>) -> u32 {
    max_tokens.unwrap_or(USUAL_OUTPUT).min(USUAL_OUTPUT)
}

/// The numbers that costs are computed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) prompt_tokens: u32,
    /// Prompt tokens to compute. Equal to `prompt_tokens`: no prefix is taken to be cached.
    pub(super) prefill_tokens: u32,
    /// Output tokens expected.
    pub(super) decode_tokens: u32,
    /// Hash of the model's name, to look for among adapters.
    pub(super) adapter: Option<u64>,
}

impl Need {
    pub(super) fn of(ask: &Ask<'_>) -> Self {
        Self {
            prompt_tokens: ask.prompt_tokens,
            prefill_tokens: ask.prompt_tokens,
            decode_tokens: expected_output(ask.max_tokens),
            adapter: (!ask.model.is_empty()).then(|| Adapters::hash(ask.model.as_bytes())),
        }
    }
}
