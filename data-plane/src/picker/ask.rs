//! What a request asks of a pool.

use std::net::IpAddr;

use crate::accelerator::{Policy, Usual, Wishes};
use crate::pool::{Adapters, Role, Slot};
use crate::prefix::Matches;
use crate::prefix::precise::{Mirror, Runs, TokenPrompt, Trust};

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
    /// The only role that is picked.
    pub role: Role,
    /// The response is a stream.
    pub stream: bool,
    /// Its objective's policy, or the pool's.
    pub policy: Option<&'a Policy>,
    /// What its headers want; goes before the policy.
    pub wishes: Option<&'a Wishes>,
    /// Hashes of the prompt's blocks, each chained to the one before.
    pub blocks: &'a [u64],
    /// Prompt tokens of each of `blocks`.
    pub block_tokens: f32,
    /// The prompt's tokens, where the request names them; empty otherwise.
    pub tokens: &'a [u32],
    /// The prompt's cache salt; empty for none.
    pub salt: &'a [u8],
}

impl<'a> Ask<'a> {
    /// The prompt as engines see it.
    pub(super) fn token_prompt(&self) -> TokenPrompt<'a> {
        TokenPrompt { ids: self.tokens, model: self.model, salt: self.salt }
    }
}

/// One endpoint, or all ports of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubsetEntry {
    /// The address; an IPv4 address may be written as IPv6.
    pub ip: IpAddr,
    /// One port; none for every port.
    pub port: Option<u16>,
}

/// Output tokens expected of a request that wants at most `max_tokens`, where answers are `usual`.
#[must_use]
pub fn expected_output(max_tokens: Option<u32>, usual: &Usual) -> u32 {
    // Limits that clients send are upper bounds, mostly far above what is generated.
    let output = usual.output() as u32;
    max_tokens.unwrap_or(output).min(output)
}

/// The numbers that costs are computed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) prompt_tokens: u32,
    /// Prompt tokens to compute: without [`at`](Self::at), all of them.
    pub(super) prefill_tokens: u32,
    /// Output tokens expected.
    pub(super) decode_tokens: u32,
    /// Output tokens that the client asks for; 0 when it does not say.
    pub(super) answer_tokens: u32,
    /// Hash of the model's name, to look for among adapters.
    pub(super) adapter: Option<u64>,
    /// Prompt tokens of a block.
    block_tokens: f32,
}

impl Need {
    pub(super) fn of(ask: &Ask<'_>, usual: &Usual) -> Self {
        Self {
            prompt_tokens: ask.prompt_tokens,
            prefill_tokens: ask.prompt_tokens,
            decode_tokens: expected_output(ask.max_tokens, usual),
            answer_tokens: ask.max_tokens.unwrap_or(0),
            block_tokens: ask.block_tokens,
            adapter: (!ask.model.is_empty()).then(|| Adapters::hash(ask.model.as_bytes())),
        }
    }

    /// Tokens at the start of the prompt that `slot` was sent before.
    pub(super) fn held(&self, matches: &Matches, slot: &Slot) -> u32 {
        let run = slot.held().map_or(0, |held| matches.run(held.number()));
        if run == 0 { 0 } else { (run as f32 * self.block_tokens) as u32 }
    }

    /// Tokens that `slot` is expected to have in its cache: what its engine says where that is known, else those of
    /// `held` that it kept, as far as it usually does. Whole blocks of its engine, and never the whole prompt (engines
    /// compute the last token to have an output).
    pub(super) fn cached(&self, held: u32, slot: &Slot, runs: &Runs) -> u32 {
        let trust = |mirror: &Mirror| if runs.is_known() { mirror.trust() } else { Trust::Off };
        let (trust, told) = slot.mirror().map_or((Trust::Off, 0), |m| (trust(m), runs.tokens(m)));
        if held == 0 && told == 0 {
            return 0;
        }
        let usual = || slot.held().map_or(0.0, |blocks| blocks.yields() * held as f32) as u32;
        let kept = match trust {
            Trust::Off => usual(),
            Trust::Partial => told.max(usual()),
            Trust::Complete => told,
        };
        let kept = kept.min(self.prompt_tokens.saturating_sub(1));
        kept - kept % slot.kv_block()
    }

    /// What is needed where `cached` tokens are.
    pub(super) fn at(&self, cached: u32) -> Self {
        Self { prefill_tokens: self.prompt_tokens.saturating_sub(cached), ..*self }
    }
}
