//! The chain of block hashes, fed piece by piece.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Bytes of a block: about 64 tokens.
pub const BLOCK: usize = 256;
/// Blocks that are hashed: half a mebibyte of prompt, about 131,072 tokens.
pub const MAX_BLOCKS: usize = 2048;

/// Hashes of a prompt's full blocks.
#[derive(Debug)]
pub struct Chain {
    last: u64,
    blocks: Vec<u64>,
    partial: Vec<u8>,
    len: usize,
}

impl Chain {
    /// A chain for prompts of about `len` bytes. Prompts share blocks only when every part of `scope` is equal: the
    /// model, its adapter, the cache salt.
    pub fn new(scope: &[&[u8]], len: usize) -> Self {
        let last = scope.iter().fold(0, |seed, part| xxh3_64_with_seed(part, seed));
        Self { last, blocks: Vec::with_capacity((len / BLOCK).min(MAX_BLOCKS)), partial: Vec::new(), len: 0 }
    }

    /// Appends an image or the like in place of `len` bytes of text: what is as many tokens takes as many blocks.
    pub fn push_media(&mut self, media: &[u8], len: usize) {
        let digest = xxh3_64(media).to_le_bytes();
        for _ in 0..len.min(MAX_BLOCKS * BLOCK) / digest.len() {
            self.push(&digest);
        }
    }

    /// Bytes so far, media as if they were text.
    pub fn bytes(&self) -> usize {
        self.len
    }

    /// Tokens of a block, when the whole prompt has `tokens`.
    pub fn block_tokens(&self, tokens: u32) -> f32 {
        if self.len == 0 { 0.0 } else { tokens as f32 * BLOCK as f32 / self.len as f32 }
    }

    /// Appends a piece of the prompt.
    pub fn push(&mut self, mut piece: &[u8]) {
        self.len += piece.len();
        if !self.partial.is_empty() {
            let (head, rest) = piece.split_at(piece.len().min(BLOCK - self.partial.len()));
            self.partial.extend_from_slice(head);
            piece = rest;
            if self.partial.len() == BLOCK {
                let block = std::mem::take(&mut self.partial);
                self.block(&block);
            }
        }
        let mut blocks = piece.chunks_exact(BLOCK);
        for block in &mut blocks {
            if self.blocks.len() == MAX_BLOCKS {
                return;
            }
            self.block(block);
        }
        self.partial.extend_from_slice(blocks.remainder());
    }

    /// The hashes; a last block that is not full has none. At most [`MAX_BLOCKS`].
    pub fn blocks(&self) -> &[u64] {
        &self.blocks
    }

    /// The hashes.
    pub fn into_blocks(self) -> Vec<u64> {
        self.blocks
    }

    fn block(&mut self, block: &[u8]) {
        if self.blocks.len() < MAX_BLOCKS {
            self.last = xxh3_64_with_seed(block, self.last);
            self.blocks.push(self.last);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(model: &str, salt: &[u8], pieces: &[&[u8]]) -> Vec<u64> {
        let mut chain = Chain::new(&[model.as_bytes(), salt], 0);
        pieces.iter().for_each(|p| chain.push(p));
        chain.blocks().to_vec()
    }

    #[test]
    fn hashes_agree_up_to_the_first_difference_and_are_apart_by_model_and_salt() {
        let prompt = vec![b'a'; 4 * BLOCK + 10];
        let mut other = prompt.clone();
        other[2 * BLOCK] = b'b';
        let (a, b) = (of("m", b"", &[&prompt]), of("m", b"", &[&other]));
        assert_eq!((a.len(), a[..2] == b[..2], a[2] == b[2], a[3] == b[3]), (4, true, false, false));
        assert_ne!(of("n", b"", &[&prompt])[0], a[0]);
        assert_ne!(of("m", b"s", &[&prompt])[0], a[0]);
        assert_eq!(of("m", b"", &[&vec![0; (MAX_BLOCKS + 9) * BLOCK]]).len(), MAX_BLOCKS);
    }

    #[test]
    fn media_take_the_room_of_their_tokens_and_differ_by_content() {
        let with = |media: &[u8]| {
            let mut chain = Chain::new(&[], 0);
            chain.push_media(media, 4 * BLOCK);
            chain.push(&[b'a'; BLOCK]);
            (chain.bytes(), chain.blocks().to_vec())
        };
        let (len, blocks) = with(b"image");
        assert_eq!((len, blocks.len()), (5 * BLOCK, 5));
        assert_eq!(with(b"image").1, blocks);
        assert_ne!(with(b"other").1[0], blocks[0]);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(prompt in prop::collection::vec(any::<u8>(), 0..3000), cut in 0usize..3000, cut2 in 0usize..3000) {
            let (x, y) = (cut.min(cut2).min(prompt.len()), cut.max(cut2).min(prompt.len()));
            prop_assert_eq!(of("m", b"", &[&prompt[..x], &prompt[x..y], &prompt[y..]]), of("m", b"", &[&prompt]));
        }
    }
}
