//! What the picker and others read.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};

use super::Slot;
use crate::pool::load::{Load, Packed};
use crate::pool::reading::{Adapters, Freshness};
use crate::prefix::Held;
use crate::prefix::precise::Mirror;

/// A reading older than this does not correct our own counters.
const STALE_AFTER: Duration = Duration::from_secs(2);
/// Failures in a row after which an endpoint is avoided.
const FAILING_AFTER: u32 = 3;
/// Failed requests in a row after which an endpoint is avoided, because one that fails fast looks idle.
const ERRORS_AFTER: u32 = 3;
/// An endpoint whose requests fail is avoided for this long, doubled with each further failure.
const ERROR_PAUSE: Duration = Duration::from_millis(500);
/// Tokens of a KV cache block of an engine that does not tell.
const USUAL_KV_BLOCK: u32 = 16;
/// The doubling of [`ERROR_PAUSE`] ends here: 2 s, so that an endpoint that works again is soon
/// used again.
const MAX_DOUBLINGS: u32 = 2;

impl Slot {
    /// Prompts that were sent there.
    #[must_use]
    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// What its engine says that it holds.
    #[must_use]
    pub fn mirror(&self) -> Option<&Mirror> {
        self.mirror.as_ref()
    }

    /// Tokens of a block of its KV cache: fewer are not cached.
    #[must_use]
    pub fn kv_block(&self) -> u32 {
        match self.kv_block.load(Relaxed) {
            0 => USUAL_KV_BLOCK,
            tokens => tokens,
        }
    }

    /// How far the last reading can be trusted.
    #[must_use]
    pub fn freshness(&self, now: Instant) -> Freshness {
        let failures = self.scrape_failures.load(Relaxed);
        if failures >= FAILING_AFTER {
            return Freshness::Failing(failures);
        }
        match self.scraped_at.load(Acquire) {
            0 => Freshness::Never,
            at => match Duration::from_micros(self.micros(now).saturating_sub(at)) {
                age if age <= STALE_AFTER => Freshness::Fresh,
                age => Freshness::Stale(age),
            },
        }
    }

    /// Time since the last reading; None before the first.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        match self.scraped_at.load(Relaxed) {
            0 => None,
            at => Some(Duration::from_micros(self.micros(now).saturating_sub(at))),
        }
    }

    /// Whether the endpoint is avoided while others are left: scrapes fail, or requests fail and the pause after the
    /// last failure lasts.
    #[must_use]
    pub fn is_failing(&self, now: Instant) -> bool {
        if self.scrape_failures.load(Relaxed) >= FAILING_AFTER {
            return true;
        }
        let errors = self.errors.load(Relaxed);
        if errors < ERRORS_AFTER {
            return false;
        }
        let pause = ERROR_PAUSE * 2_u32.pow((errors - ERRORS_AFTER).min(MAX_DOUBLINGS));
        let since = self.micros(now).saturating_sub(self.errored_at.load(Relaxed));
        Duration::from_micros(since) < pause
    }

    /// Size of the KV cache in tokens, when the model server told.
    #[must_use]
    pub fn kv_tokens(&self) -> Option<u64> {
        Some(self.kv_tokens.load(Relaxed)).filter(|tokens| *tokens > 0)
    }

    /// The same of its largest data-parallel rank: more than that no request gets.
    #[must_use]
    pub fn kv_largest(&self) -> Option<u64> {
        Some(self.kv_largest.load(Relaxed)).filter(|tokens| *tokens > 0)
    }

    /// Tokens of prompt and answer that it takes together, when the model server told.
    #[must_use]
    pub fn context_tokens(&self) -> Option<u32> {
        Some(self.context.load(Relaxed)).filter(|tokens| *tokens > 0)
    }

    /// The LoRA adapters of the last scrape.
    #[must_use]
    pub fn adapters(&self) -> arc_swap::Guard<Option<Arc<Adapters>>> {
        self.adapters.load()
    }

    /// The load at `now`: our own counters and those of other pickers, corrected by the last scrape while it is fresh.
    #[must_use]
    pub fn load(&self, now: Instant) -> Load {
        let own = self.in_flight.load(Relaxed);
        let peers = self.others.requests();
        let decode_tokens = self.decode_tokens.load(Relaxed) + self.others.decode_tokens();
        let held = self.held_tokens();
        let fresh = self.freshness(now) == Freshness::Fresh;
        let packed = if fresh { Packed(self.load.load(Relaxed)) } else { Packed::UNKNOWN };
        let kv_tokens = self.kv_tokens();
        let kv_used = kv_tokens.map(|capacity| {
            let scraped = packed.kv_usage();
            let counted = if scraped.is_some() { self.held_at_scrape.load(Relaxed) } else { 0 };
            scraped.unwrap_or(0.0) + held.saturating_sub(counted) as f32 / capacity as f32
        });
        Load {
            own,
            peers,
            foreign: packed.foreign().saturating_sub(self.others.risen()),
            running: packed.running(),
            waiting: packed.waiting(),
            learned_slots: Some(self.learned_slots.load(Relaxed)).filter(|slots| *slots > 0),
            prefill_tokens: self.prefill_tokens.load(Relaxed) + self.others.prefill_tokens(),
            prefill_clear_s: self.prefill_clear_at.load(Relaxed).saturating_sub(self.micros(now)) as f32
                / 1e6,
            mean_decode_tokens: (own + peers > 0).then(|| decode_tokens as f32 / (own + peers) as f32),
            kv_used: kv_used.or_else(|| packed.kv_usage()),
            kv_tokens,
        }
    }
}
