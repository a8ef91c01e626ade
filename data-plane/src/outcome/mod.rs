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

pub(crate) use guard::InflightGuard;

/// A first byte that comes sooner than this share of what was expected is response headers that the model server sent
/// ahead of the first token (vLLM does for streams): it says nothing about prefill.
const TOO_SOON: f32 = 0.25;
/// One observation moves what is learned at most as if it had taken this many times the expected time.
const LARGEST_RATIO: f32 = 16.0;

/// One request from its pick to its end. While it lives, the request counts as in flight at its endpoint; dropping it
/// is the end, whatever the reason.
#[derive(Debug)]
pub struct Outcome {
    pool: Arc<Pool>,
    guard: InflightGuard,
    picked_at: Instant,
    /// The latest time that the request's events told.
    seen: Instant,
    expected: Duration,
    /// Prompt tokens that the endpoint was sent before, for learning from its report.
    held_tokens: u32,
    /// Blocks of the prompt, and their tokens.
    sent: (Vec<u64>, f32),
    elsewhere: bool,
    answered: bool,
    failed: bool,
}

impl Outcome {
    pub(crate) fn new(pool: Arc<Pool>, guard: InflightGuard, now: Instant, expected: Duration) -> Self {
        pool.counters().picks.fetch_add(1, Relaxed);
        Self {
            pool,
            guard,
            picked_at: now,
            seen: now,
            expected,
            held_tokens: 0,
            sent: (Vec::new(), 0.0),
            elsewhere: false,
            answered: false,
            failed: false,
        }
    }

    /// The endpoint was sent the first `held_tokens` of the prompt before.
    pub(crate) fn expecting(mut self, held_tokens: u32) -> Self {
        self.held_tokens = held_tokens;
        self
    }

    /// The prompt's `blocks`, of `block_tokens` each: an endpoint other than the pick that serves the request holds
    /// them, too. Kept until the first byte.
    pub fn sent(&mut self, blocks: Vec<u64>, block_tokens: f32) {
        self.sent = (blocks, block_tokens);
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
        self.guard.slot().errored(self.seen);
        match self.pool.slot(address) {
            Some(slot) => {
                self.pool.counters().moved.fetch_add(1, Relaxed);
                self.guard.move_to(slot, self.seen);
                self.held_tokens = 0;
                if let Some(held) = self.guard.slot().held() {
                    held.record(&self.sent.0, self.sent.1, self.guard.slot().kv_tokens());
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
        if std::mem::replace(&mut self.answered, true) {
            return;
        }
        self.guard.answered();
        self.sent.0 = Vec::new();
        let ratio = now.saturating_duration_since(self.picked_at).as_secs_f32()
            / self.expected.as_secs_f32().max(1e-3);
        if ratio >= TOO_SOON && !self.elsewhere {
            self.guard.prefilled();
            self.guard.slot().learn_first_byte(ratio.min(LARGEST_RATIO));
        }
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

    /// Where the request is accounted.
    #[must_use]
    pub fn endpoint(&self) -> SocketAddr {
        self.guard.slot().address()
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if self.answered && !self.failed {
            self.guard.slot().answered();
        }
    }
}
