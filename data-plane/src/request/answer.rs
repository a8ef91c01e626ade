//! The answer of a model server, read as it passes: the client's model name is put back, and usage is noted.
//!
//! ```text
//! piece ─ push ─▶ piece as it was (the same bytes), or with the name put back    end ─ finish ─▶ bytes held back
//!                   └─ model value (held back until it ends), usage numbers
//! ```
//! Reads JSON and server-sent events in any pieces. Members count by their place: `model` of the answer, of `response`
//! (OpenAI's responses) or of `message` (Anthropic); `usage` beside it, or SGLang's `meta_info`. A name inside of a text
//! is never touched. No more than the value of a `model` member is held back, and only up to [`LONGEST`] bytes.

mod place;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use place::{Place, Slot};

/// A longer model name passes as it is.
const LONGEST: usize = 1_024;

/// The name that was sent, and the one to put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// The name that the model server was sent.
    pub sent: String,
    /// The client's JSON string, quotes included.
    pub asked: Bytes,
}

/// What a model server reports about a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub prompt_tokens: u32,
    /// Of these, those that were in the cache; None when it does not say.
    pub cached_tokens: Option<u32>,
    /// Tokens generated.
    pub output_tokens: u32,
}

/// A position in an answer.
#[derive(Debug)]
pub struct Reader {
    restore: Option<Restore>,
    place: Place,
    /// Inside of a string; whether the next byte is escaped.
    string: Option<bool>,
    /// The string so far, while it may matter: a key, or a model name.
    text: Vec<u8>,
    /// The string's begin was held back.
    holding: bool,
    /// Bytes of earlier pieces that are held back.
    held: Vec<u8>,
    /// Digits of a number that is wanted.
    number: Option<u32>,
    found: Found,
}

#[derive(Debug, Default)]
struct Found {
    prompt: u32,
    cached: Option<u32>,
    /// Anthropic counts cached tokens apart from the others.
    cache_read: Option<u32>,
    cache_written: u32,
    output: u32,
}

impl Reader {
    /// At the beginning of an answer; `events` when it is a stream of server-sent events.
    pub fn new(restore: Option<Restore>, events: bool) -> Self {
        Self {
            restore,
            place: Place::new(events),
            string: None,
            text: Vec::new(),
            holding: false,
            held: Vec::new(),
            number: None,
            found: Found::default(),
        }
    }

    /// Reads a piece; answers what to send instead, or None when it goes on as it is.
    pub fn push(&mut self, piece: &[u8]) -> Option<Bytes> {
        let mut out = Vec::new();
        let held_before = !self.held.is_empty();
        // What is before this position was sent or is held.
        let mut sent = 0;
        let mut at = 0;
        while at < piece.len() {
            if self.string.is_some() {
                at = self.in_string(piece, at, &mut sent, &mut out);
                continue;
            }
            let byte = piece[at];
            if byte == b'"' {
                self.string = Some(false);
                self.text.clear();
                self.holding = self.restore.is_some() && self.place.slot() == Some(Slot::Model);
                if self.holding {
                    out.extend_from_slice(&piece[sent..at]);
                    sent = at;
                }
            } else {
                self.outside(byte);
            }
            at += 1;
        }
        if self.holding {
            self.held.extend_from_slice(&piece[sent..]);
            return Some(out.into());
        }
        if sent == 0 && !held_before {
            return None;
        }
        out.extend_from_slice(&piece[sent..]);
        Some(out.into())
    }

    /// The answer ended; answers what was held back.
    pub fn finish(&mut self) -> Bytes {
        self.settle_number();
        self.holding = false;
        std::mem::take(&mut self.held).into()
    }

    /// What was reported so far.
    pub fn usage(&self) -> Option<Usage> {
        let Found { prompt, cached, cache_read, cache_written, output } = self.found;
        let prompt_tokens = prompt.saturating_add(cache_read.unwrap_or(0)).saturating_add(cache_written);
        let cached_tokens = cached.or(cache_read).map(|cached| cached.min(prompt_tokens));
        (prompt_tokens > 0).then_some(Usage { prompt_tokens, cached_tokens, output_tokens: output })
    }

    /// Reads on inside of a string; answers where it stopped.
    fn in_string(&mut self, piece: &[u8], at: usize, sent: &mut usize, out: &mut Vec<u8>) -> usize {
        let escaped = self.string == Some(true);
        let stop = match escaped {
            true => Some(0),
            false => memchr::memchr3(b'"', b'\\', b'\n', &piece[at..]),
        };
        let end = stop.map_or(piece.len(), |stop| at + stop);
        let wanted = self.holding || self.place.at_key();
        if wanted {
            self.text.extend_from_slice(&piece[at..end]);
        }
        if self.text.len() > LONGEST {
            self.text.truncate(LONGEST + 1);
            self.let_go(out);
        }
        let Some(byte) = piece.get(end) else { return end };
        match byte {
            _ if escaped => {
                self.string = Some(false);
                self.text.extend(wanted.then_some(*byte));
            }
            b'\\' => {
                self.string = Some(true);
                self.text.extend(wanted.then_some(*byte));
            }
            b'"' => {
                self.string = None;
                if self.holding {
                    self.model(sent, end + 1, out);
                } else {
                    self.place.string(&self.text);
                }
            }
            // JSON has no line breaks in strings: this was none.
            _ => {
                self.string = None;
                self.let_go(out);
                self.place.restart();
            }
        }
        end + 1
    }

    /// A model name ended before `end`.
    fn model(&mut self, sent: &mut usize, end: usize, out: &mut Vec<u8>) {
        let quoted = [b"\"", &self.text[..], b"\""].concat();
        let name = serde_json::from_slice::<String>(&quoted).ok();
        let restore = self.restore.as_ref().filter(|restore| name.as_ref() == Some(&restore.sent));
        if let Some(restore) = restore {
            out.extend_from_slice(&restore.asked);
            self.held.clear();
            self.holding = false;
            *sent = end;
        } else {
            self.let_go(out);
        }
        self.place.string(&[]);
    }

    /// What is held back passes as it is.
    fn let_go(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.holding) {
            out.append(&mut self.held);
        }
    }

    fn outside(&mut self, byte: u8) {
        if byte.is_ascii_digit()
            && let Some(Slot::Number(_)) = self.place.slot()
        {
            let number = self.number.unwrap_or(0);
            self.number = Some(number.saturating_mul(10).saturating_add(u32::from(byte - b'0')));
            return;
        }
        self.settle_number();
        self.place.byte(byte);
    }

    fn settle_number(&mut self) {
        let Some(number) = self.number.take() else { return };
        let Some(Slot::Number(count)) = self.place.slot() else { return };
        let found = &mut self.found;
        // Streams report again and again, and some start with zeroes.
        match count {
            place::Count::Prompt => found.prompt = found.prompt.max(number),
            place::Count::Cached => found.cached = found.cached.max(Some(number)),
            place::Count::CacheRead => found.cache_read = found.cache_read.max(Some(number)),
            place::Count::CacheWritten => found.cache_written = found.cache_written.max(number),
            place::Count::Output => found.output = found.output.max(number),
        }
        self.place.taken();
    }
}
