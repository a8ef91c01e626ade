//! One `tokenizer.json`, read.

use std::sync::atomic::{AtomicI8, AtomicU32, Ordering::Relaxed};

use tokenizers::Tokenizer;

/// How far checks count for or against a file.
const MOST: i8 = 8;

/// Turns text into tokens as one model does.
#[derive(Debug)]
pub struct Vocabulary {
    tokenizer: Tokenizer,
    number: u32,
    /// Equal checks less different ones, of late.
    agreement: AtomicI8,
}

/// Numbers given so far; each file that is read has another one.
static NUMBERS: AtomicU32 = AtomicU32::new(0);

impl Vocabulary {
    /// Reads the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(content: &[u8]) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(content).map_err(|error| error.to_string())?;
        // Engines cut and pad by the request, whatever was in force when the file was written.
        tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, number: NUMBERS.fetch_add(1, Relaxed), agreement: AtomicI8::new(0) })
    }

    /// The tokens of `text`; with what the model's prompts begin or end with, if `special`. None when the file's rules
    /// fail for it.
    #[must_use]
    pub fn encode(&self, text: &str, special: bool) -> Option<Vec<u32>> {
        self.tokenizer.encode_fast(text, special).ok().map(|encoding| encoding.get_ids().to_vec())
    }

    /// How many tokens `text` alone has.
    #[must_use]
    pub fn count(&self, text: &str) -> Option<u32> {
        let encoding = self.tokenizer.encode_fast(text, false).ok()?;
        u32::try_from(encoding.len()).ok()
    }

    /// Names this file among all that were read.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// A model server counted as many tokens as this, or others. Concurrent checks may lose one another.
    pub(super) fn checked(&self, equal: bool) {
        let agreement = self.agreement.load(Relaxed);
        let next = if equal { (agreement + 1).min(MOST) } else { (agreement - 1).max(-MOST) };
        self.agreement.store(next, Relaxed);
    }

    /// Checks do not say that this is another model's file.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.agreement.load(Relaxed) >= 0
    }
}
