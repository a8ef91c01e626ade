//! What a request asks of a pool.

use std::net::IpAddr;

use crate::accelerator::{Policy, Usual, Wishes};
use crate::pool::Adapters;

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
    /// The response is a stream.
    pub stream: bool,
    /// Prompt tokens that the prefix cache of each endpoint holds, by the endpoint's position in the pool's snapshot.
    /// Endpoints beyond its end hold none.
    pub cached_tokens: &'a [u32],
    /// Its objective's policy, or the pool's.
    pub policy: Option<&'a Policy>,
    /// What its headers want; goes before the policy.
    pub wishes: Option<&'a Wishes>,
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

/// The numbers that costs are computed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) prompt_tokens: u32,
    /// Prompt tokens to compute: those that are not cached.
    pub(super) prefill_tokens: u32,
    /// Output tokens expected.
    pub(super) decode_tokens: u32,
    /// Hash of the model's name, to look for among adapters.
    pub(super) adapter: Option<u64>,
}

impl Need {
    /// The need at the endpoint at `index`, with what it has cached. One token at least is computed.
    pub(super) fn at(mut self, cached_tokens: &[u32], index: u32) -> Self {
        let cached = cached_tokens.get(index as usize).copied().unwrap_or(0);
        self.prefill_tokens = self.prompt_tokens.saturating_sub(cached).max(self.prompt_tokens.min(1));
        self
    }

    pub(super) fn of(ask: &Ask<'_>, usual: &Usual) -> Self {
        // Limits that clients send are upper bounds, mostly far above what is generated.
        let output = usual.output() as u32;
        Self {
            prompt_tokens: ask.prompt_tokens,
            prefill_tokens: ask.prompt_tokens,
            decode_tokens: ask.max_tokens.unwrap_or(output).min(output),
            adapter: (!ask.model.is_empty()).then(|| Adapters::hash(ask.model.as_bytes())),
        }
    }
}
