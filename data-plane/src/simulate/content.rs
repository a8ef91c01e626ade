//! What prompts share: their beginnings, as chains of pieces.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::prefix::{BLOCK, Chain};

/// Bytes of a token.
const TOKEN_BYTES: usize = 4;

/// A part of a prompt. Its key stands for it and all that is before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub(super) key: u64,
    pub(super) tokens: u32,
}

impl Piece {
    /// The piece whose content is called `id`, behind `before`.
    #[must_use]
    pub fn after(before: Option<&Self>, id: u64, tokens: u32) -> Self {
        let seed = before.map_or(0, |piece| piece.key);
        Self { key: xxh3_64_with_seed(&id.to_le_bytes(), seed), tokens }
    }
}

/// The hashes of a prompt's blocks, as the picker computes them from its bytes.
pub(super) fn chain(pieces: &[Piece]) -> Chain {
    let tokens: usize = pieces.iter().map(|piece| piece.tokens as usize).sum();
    let mut chain = Chain::new(&[b"bed"], tokens * TOKEN_BYTES);
    for piece in pieces {
        let text = piece.key.to_le_bytes().repeat(BLOCK / 8);
        let bytes = piece.tokens as usize * TOKEN_BYTES;
        (0..bytes / BLOCK).for_each(|_| chain.push(&text));
        chain.push(&text[..bytes % BLOCK]);
    }
    chain
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Seconds from the start.
    pub at: f64,
    /// The prompt. Requests share what their pieces begin with.
    pub pieces: Arc<[Piece]>,
    /// The answer's key: prompts that continue it have it behind this prompt.
    pub answer: Piece,
    /// Priority of its objective.
    pub priority: i32,
    /// Who sent it.
    pub tenant: u64,
}

impl Request {
    /// A request for `output` tokens, whose prompt is nobody else's when `id` is not.
    #[must_use]
    pub fn new(at: f64, pieces: Vec<Piece>, id: u64, output: u32) -> Self {
        let answer = Piece::after(pieces.last(), !id, output);
        Self { at, pieces: pieces.into(), answer, priority: 0, tenant: 0 }
    }

    /// Tokens of the prompt.
    #[must_use]
    pub fn prompt(&self) -> u32 {
        self.pieces.iter().map(|piece| piece.tokens).sum()
    }

    /// Tokens of the answer.
    #[must_use]
    pub fn output(&self) -> u32 {
        self.answer.tokens
    }
}
