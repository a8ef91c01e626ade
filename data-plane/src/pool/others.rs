//! Work that the other pickers of a pool have sent to an endpoint, summed over them.
//!
//! ```text
//! own counters of a slot ─ standing ─▶ Standing ─ told to peers ─▶ Slot::replace(before, after) ─▶ Others of their slot
//! ```
//! Each picker tells absolute numbers; what is kept here is their sum, changed by the difference from what the same picker
//! told before. So the order in which pickers are heard does not matter, and taking all of a picker out is telling nothing.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// What one picker has sent to an endpoint and has not seen end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Requests.
    pub requests: u32,
    /// Tokens of their prompts.
    pub prompt_tokens: u64,
    /// Those of them that are to be computed and not known to be.
    pub prefill_tokens: u64,
    /// Output tokens expected of them.
    pub decode_tokens: u64,
    /// Microseconds of prefill queued since the picker began, less those taken back; wraps.
    pub queued_micros: u64,
}

impl Standing {
    /// Nothing is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        Self { queued_micros: 0, ..*self } == Self::default()
    }
}

/// The sum over other pickers. Written by those who hear them, read by picks.
#[derive(Debug, Default)]
pub(super) struct Others {
    requests: AtomicU32,
    prompt_tokens: AtomicU64,
    prefill_tokens: AtomicU64,
    decode_tokens: AtomicU64,
    /// Requests when the last scrape was stored.
    at_scrape: AtomicU32,
}

impl Others {
    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    pub(super) fn prefill_tokens(&self) -> u64 {
        self.prefill_tokens.load(Relaxed)
    }

    pub(super) fn decode_tokens(&self) -> u64 {
        self.decode_tokens.load(Relaxed)
    }

    /// Tokens that their requests take of the KV cache.
    pub(super) fn held_tokens(&self) -> u64 {
        self.prompt_tokens.load(Relaxed) + self.decode_tokens()
    }

    /// One picker has `after` in flight in place of `before`.
    pub(super) fn replace(&self, before: &Standing, after: &Standing) {
        self.requests.fetch_add(after.requests.wrapping_sub(before.requests), Relaxed);
        for (sum, before, after) in [
            (&self.prompt_tokens, before.prompt_tokens, after.prompt_tokens),
            (&self.prefill_tokens, before.prefill_tokens, after.prefill_tokens),
            (&self.decode_tokens, before.decode_tokens, after.decode_tokens),
        ] {
            sum.fetch_add(after.wrapping_sub(before), Relaxed);
        }
    }

    /// A scrape is stored now.
    pub(super) fn scraped(&self) {
        self.at_scrape.store(self.requests(), Relaxed);
    }

    /// Requests that were told since the last scrape, beyond those that ended. It most likely saw them before they were
    /// told, as nobody's.
    pub(super) fn risen(&self) -> u32 {
        self.requests().saturating_sub(self.at_scrape.load(Relaxed))
    }
}
