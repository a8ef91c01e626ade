//! What became of a request: in-flight accounting, served endpoint, first token.
//!
//! ```text
//! pick ─▶ Outcome ─ served(other) ─▶ account moves ─ first_byte ─▶ prefill released ─ failed ─▶ errors
//!            └──────────────────────────── drop: everything released, once ────────────────────────┘
//! ```

mod guard;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::pool::Pool;
use crate::prefix::precise::Coming;

pub(crate) use guard::InflightGuard;

/// A first byte that comes sooner than this share of what was expected is response headers that the model server sent
/// ahead of the first token (vLLM does for streams): it says nothing about prefill.
const TOO_SOON: f32 = 0.25;
/// The same for learning, where the expectation may be what is wrong.
const FAR_TOO_SOON: f32 = 0.1;
/// Outputs shorter than this say little about the time between tokens.
const LEAST_OUTPUT: u32 = 8;
/// One observation moves what is learned at most as if it had taken this many times the expected time.
const LARGEST_RATIO: f32 = 16.0;

/// What a pick expects of its request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expected {
    /// Seconds to the first token.
    pub ttft: f32,
    /// Prompt tokens to compute.
    pub tokens: u32,
    /// Requests at the endpoint, this one included.
    pub batch: f32,
    /// Nothing is waited for: neither a slot nor other prompts.
    pub at_once: bool,
    /// The response is a stream, so that its first byte is its first token. Otherwise it is the whole.
    pub stream: bool,
}

/// What a response says about itself, from its `usage`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens.
    pub prompt_tokens: Option<u32>,
    /// Those that the prefix cache held.
    pub cached_tokens: Option<u32>,
    /// Output tokens.
    pub output_tokens: Option<u32>,
}

/// One request from its pick to its end. While it lives, the request counts as in flight at its endpoint; dropping it
/// is the end, whatever the reason.
#[derive(Debug)]
pub struct Outcome {
    pool: Arc<Pool>,
    guard: InflightGuard,
    picked_at: Instant,
    /// The latest time that the request's events told.
    seen: Instant,
    expected: Expected,
    /// Prompt tokens that the endpoint was sent before, for learning from its report.
    held_tokens: u32,
    /// Blocks of the prompt, and their tokens.
    sent: Option<(Arc<Vec<u64>>, f32)>,
    /// The prompt counts as held while it is computed.
    coming: Option<Coming>,
    first_byte_at: Option<Instant>,
    /// The first byte came when a first token may.
    first_token: bool,
    elsewhere: bool,
    moved: bool,
    failed: bool,
}

impl Outcome {
    pub(crate) fn new(pool: Arc<Pool>, guard: InflightGuard, now: Instant, expected: Expected) -> Self {
        pool.counters().picks.fetch_add(1, Relaxed);
        Self {
            pool,
            guard,
            picked_at: now,
            seen: now,
            expected,
            held_tokens: 0,
            sent: None,
            coming: None,
            first_byte_at: None,
            first_token: false,
            elsewhere: false,
            moved: false,
            failed: false,
        }
    }

    /// The endpoint was sent the first `held_tokens` of the prompt before.
    pub(crate) fn expecting(mut self, held_tokens: u32) -> Self {
        self.held_tokens = held_tokens;
        self
    }

    /// The prompt's `blocks`, of `block_tokens` each: other pickers are told who holds them, and an endpoint other than
    /// the pick that serves the request holds them, too. Kept until the first byte.
    pub fn sent(&mut self, blocks: Arc<Vec<u64>>, block_tokens: f32) {
        self.pool.tell_sent(self.endpoint(), &blocks, block_tokens);
        self.sent = Some((blocks, block_tokens));
    }

    /// The pick computes the prompt, which counts as held there until the first byte. Then its engine tells.
    pub(crate) fn computing(&mut self, coming: Option<Coming>) {
        self.coming = coming;
    }

    /// Another endpoint computes the prompt: nothing is to be computed here, and the first byte says nothing.
    pub fn prefilled_elsewhere(&mut self) {
        self.guard.prefilled();
        self.guard.queue(Duration::ZERO, self.seen);
        self.elsewhere = true;
    }

    /// The endpoint reports how many prompt tokens it had in its cache. Only the first report counts, and none of an
    /// endpoint that was not the pick.
    pub fn reported(&mut self, cached_tokens: u32) {
        let expected = std::mem::take(&mut self.held_tokens);
        if let Some(held) = self.guard.slot().held() {
            held.learn(expected, cached_tokens);
        }
    }

    /// Envoy tells which endpoint it used. If it is not the one that holds the account, the account moves there and the
    /// one that Envoy passed over counts an error.
    pub fn served(&mut self, address: SocketAddr) {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if address == self.guard.slot().address() {
            return;
        }
        self.moved = true;
        self.coming = None;
        self.guard.slot().errored(self.seen);
        match self.pool.slot(address) {
            Some(slot) => {
                self.pool.counters().moved.fetch_add(1, Relaxed);
                self.guard.move_to(slot, self.seen);
                self.held_tokens = 0;
                if let Some((held, (blocks, tokens))) = self.guard.slot().held().zip(self.sent.as_ref()) {
                    held.record(blocks, *tokens, self.guard.slot().kv_tokens());
                    self.pool.tell_sent(self.endpoint(), blocks, *tokens);
                }
            }
            None => {
                self.pool.counters().moved_unknown.fetch_add(1, Relaxed);
            }
        }
    }

    /// The first byte of the response's body arrived at `now`. Only the first call counts.
    ///
    /// The prompt is then computed, and the time is compared with the expected one for learning. Times that come much
    /// too soon are not used: see `TOO_SOON`.
    pub fn first_byte(&mut self, now: Instant) {
        self.seen = self.seen.max(now);
        if self.first_byte_at.is_some() {
            return;
        }
        self.first_byte_at = Some(now);
        self.guard.answered();
        self.sent = None;
        self.coming = None;
        let seconds = now.saturating_duration_since(self.picked_at).as_secs_f32();
        let ratio = seconds / self.expected.ttft.max(1e-3);
        if ratio >= TOO_SOON && !self.elsewhere {
            self.guard.prefilled();
            self.guard.slot().learn_first_byte(ratio.min(LARGEST_RATIO));
        }
        let Expected { at_once, stream, tokens, .. } = self.expected;
        self.first_token = ratio >= FAR_TOO_SOON && stream && !self.moved && !self.elsewhere;
        if self.first_token
            && at_once
            && let Some(calibration) = &*self.guard.slot().calibration()
        {
            calibration.first_token(tokens as f32, seconds, now);
        }
    }

    /// The response ended well at `now`, and said `usage` of itself. What is learned: the time between tokens of a
    /// stream whose first byte was its first token, and how long answers are.
    pub fn ended(&mut self, now: Instant, usage: Usage) {
        self.seen = self.seen.max(now);
        let slot = self.guard.slot();
        let calibration = slot.calibration();
        let Some((calibration, output)) = calibration.as_ref().zip(usage.output_tokens) else { return };
        if self.failed || self.moved {
            return;
        }
        calibration.output(output as f32);
        let Some(first) = self.first_byte_at.filter(|_| self.first_token && output >= LEAST_OUTPUT) else {
            return;
        };
        let seconds = now.saturating_duration_since(first).as_secs_f32();
        let batch = f32::midpoint(self.expected.batch, (slot.in_flight() + slot.in_flight_of_peers()) as f32);
        calibration.pace(batch, seconds / (output - 1) as f32, now);
    }

    /// The response has `status`, or 0 when the endpoint gave none. 500 and above, and 0, are errors of the endpoint;
    /// others are answers to the client's mistakes. Only the first error counts.
    pub fn failed(&mut self, status: u16) {
        let error = status == 0 || status >= 500;
        if error && !std::mem::replace(&mut self.failed, true) {
            self.pool.counters().failed.fetch_add(1, Relaxed);
            self.guard.slot().errored(self.seen);
        }
    }

    /// Expected and observed time to the first token; None when the first byte was none, or has not come.
    #[must_use]
    pub fn first_token(&self) -> Option<(Duration, Duration)> {
        let at = self.first_byte_at.filter(|_| self.first_token)?;
        let expected = Duration::from_secs_f32(self.expected.ttft);
        Some((expected, at.saturating_duration_since(self.picked_at)))
    }

    /// Whether the first byte of the response came.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.first_byte_at.is_some()
    }

    /// Where the request is accounted.
    #[must_use]
    pub fn endpoint(&self) -> SocketAddr {
        self.guard.slot().address()
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if self.first_byte_at.is_some() && !self.failed {
            self.guard.slot().answered();
        }
    }
}
