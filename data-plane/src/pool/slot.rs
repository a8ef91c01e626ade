//! The live numbers of one endpoint: work that we sent there, counted at the pick, and the last scrape.
//!
//! ```text
//! pick ─ add ─▶ work ◀─ remove ─ outcome
//!                │
//! scrape ─ store ─▶ load, capacity, time          load(now) ─▶ picker
//! ```
//!
//! All fields are atomics that are read without a lock. They are written one by one, so a reader may see a scrape half
//! stored; each field is valid alone, and the next pick sees the rest. The work counters return to zero because only
//! the guard of `outcome` changes them, by the same amount both ways.
//!
//! Other pickers of the pool tell what they sent there (`crate::peers`), and that counts as our own does. Load from others
//! (direct clients, pickers that tell nothing) is what the scrape saw beyond the most that all of us had in flight since
//! the scrape before. Taking the most rather than the momentary value keeps requests that end around a scrape from
//! being counted twice; and what peers tell after a scrape is taken from what it saw of others, because it most likely saw
//! just that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::Release};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use crate::accelerator::{Calibration, Look};

use super::load::{Load, Packed};
use super::others::{Others, Standing};
use super::proof::Proof;
use super::reading::{Adapters, Freshness, Reading};
use super::work::Work;
use crate::prefix::precise::{Mirror, Precise};
use crate::prefix::{Held, Index};

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

/// The live numbers of one (address, port). Shared by every pool that contains it.
#[derive(Debug)]
pub struct Slot {
    address: SocketAddr,
    epoch: Instant,
    in_flight: AtomicU32,
    in_flight_high: AtomicU32,
    sent: AtomicU32,
    prompt_tokens: AtomicU64,
    prefill_tokens: AtomicU64,
    decode_tokens: AtomicU64,
    prefill_clear_at: AtomicU64,
    /// Microseconds that were added to the time before, less those taken back; wraps.
    prefill_queued: AtomicU64,
    /// Work of other pickers.
    others: Others,
    load: AtomicU64,
    kv_tokens: AtomicU64,
    learned_slots: AtomicU32,
    proof: Proof,
    held_at_scrape: AtomicU64,
    scraped_at: AtomicU64,
    scrape_failures: AtomicU32,
    errors: AtomicU32,
    errored_at: AtomicU64,
    first_byte_ratio: AtomicU32,
    kv_block: AtomicU32,
    /// Hash of the name of the model that it reports; 0 when it reports none.
    model: AtomicU64,
    adapters: ArcSwapOption<Adapters>,
    /// Prompts that were sent there; None for a slot outside of the index.
    held: Option<Held>,
    /// What its engine says that it holds; None for a slot outside of the index.
    mirror: Option<Mirror>,
    /// What readings and outcomes teach; picks read it from the snapshot.
    calibration: ArcSwapOption<Calibration>,
}

impl Slot {
    pub(crate) fn new(address: SocketAddr, epoch: Instant) -> Self {
        Self {
            address,
            epoch,
            in_flight: AtomicU32::new(0),
            in_flight_high: AtomicU32::new(0),
            sent: AtomicU32::new(0),
            prompt_tokens: AtomicU64::new(0),
            prefill_tokens: AtomicU64::new(0),
            decode_tokens: AtomicU64::new(0),
            prefill_clear_at: AtomicU64::new(0),
            prefill_queued: AtomicU64::new(0),
            others: Others::default(),
            load: AtomicU64::new(Packed::UNKNOWN.0),
            kv_tokens: AtomicU64::new(0),
            learned_slots: AtomicU32::new(0),
            proof: Proof::default(),
            held_at_scrape: AtomicU64::new(0),
            scraped_at: AtomicU64::new(0),
            scrape_failures: AtomicU32::new(0),
            errors: AtomicU32::new(0),
            errored_at: AtomicU64::new(0),
            first_byte_ratio: AtomicU32::new(1.0_f32.to_bits()),
            kv_block: AtomicU32::new(0),
            model: AtomicU64::new(0),
            adapters: ArcSwapOption::empty(),
            held: None,
            mirror: None,
            calibration: ArcSwapOption::empty(),
        }
    }

    /// A slot whose prompts and blocks are found in these.
    pub(crate) fn indexed(address: SocketAddr, epoch: Instant, (index, precise): (&Index, &Precise)) -> Self {
        Self { held: index.register(), mirror: precise.mirror(), ..Self::new(address, epoch) }
    }

    /// Where the endpoint is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is learned about the endpoint's speed.
    pub(crate) fn calibration(&self) -> arc_swap::Guard<Option<Arc<Calibration>>> {
        self.calibration.load()
    }

    /// Readings and outcomes teach `calibration` from here on.
    pub(crate) fn calibrate(&self, calibration: Option<Arc<Calibration>>) {
        self.calibration.store(calibration);
    }

    /// Requests that we sent there and that have not ended.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Requests that other pickers told to have in flight there.
    #[must_use]
    pub fn in_flight_of_peers(&self) -> u32 {
        self.others.requests()
    }

    /// Both.
    fn known_in_flight(&self) -> u32 {
        self.in_flight() + self.in_flight_of_peers()
    }

    /// Microseconds from the epoch, at least 1: 0 stands for never.
    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_micros()).unwrap_or(u64::MAX).max(1)
    }

    // === work ===

    /// Counts `work`; answers how many requests were in flight before.
    pub(crate) fn add(&self, work: &Work) -> u32 {
        let before = self.in_flight.fetch_add(1, Relaxed);
        self.in_flight_high.fetch_max(before + 1 + self.others.requests(), Relaxed);
        self.sent.fetch_add(1, Relaxed);
        self.prompt_tokens.fetch_add(work.prompt_tokens.into(), Relaxed);
        self.prefill_tokens.fetch_add(work.prefill_tokens.into(), Relaxed);
        self.decode_tokens.fetch_add(work.decode_tokens.into(), Relaxed);
        before
    }

    /// Takes `work` out again; `prefilled` when its prefill tokens already were.
    pub(crate) fn remove(&self, work: &Work, prefilled: bool) {
        self.in_flight.fetch_sub(1, Relaxed);
        self.prompt_tokens.fetch_sub(work.prompt_tokens.into(), Relaxed);
        self.decode_tokens.fetch_sub(work.decode_tokens.into(), Relaxed);
        if !prefilled {
            self.prefilled(work);
        }
    }

    /// The prompt of `work` is computed.
    pub(crate) fn prefilled(&self, work: &Work) {
        self.prefill_tokens.fetch_sub(work.prefill_tokens.into(), Relaxed);
    }

    /// Appends `length` of prefill to what the endpoint has to compute before it can start another prompt.
    pub(crate) fn queue_prefill(&self, length: Duration, now: Instant) {
        let now = self.micros(now);
        let add = length.as_micros() as u64;
        self.prefill_queued.fetch_add(add, Relaxed);
        let update = |clear_at: u64| Some(clear_at.max(now) + add);
        self.prefill_clear_at.fetch_update(Relaxed, Relaxed, update).expect("update never answers None");
    }

    /// Takes out again what will not be computed.
    pub(crate) fn unqueue_prefill(&self, length: Duration) {
        let sub = length.as_micros() as u64;
        self.prefill_queued.fetch_sub(sub, Relaxed);
        let update = |clear_at: u64| Some(clear_at.saturating_sub(sub));
        self.prefill_clear_at.fetch_update(Relaxed, Relaxed, update).expect("update never answers None");
    }

    // === other pickers ===

    /// What of ours is there, as it is told to others.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            requests: self.in_flight.load(Relaxed),
            prompt_tokens: self.prompt_tokens.load(Relaxed),
            prefill_tokens: self.prefill_tokens.load(Relaxed),
            decode_tokens: self.decode_tokens.load(Relaxed),
            queued_micros: self.prefill_queued.load(Relaxed),
        }
    }

    /// Another picker has `after` here in place of `before`; what it queued since is `queued` more microseconds, or less.
    pub(crate) fn replace(&self, before: &Standing, after: &Standing, queued: i64, now: Instant) {
        self.others.replace(before, after);
        self.in_flight_high.fetch_max(self.known_in_flight(), Relaxed);
        if queued != 0 {
            let now = self.micros(now);
            let update = |clear_at: u64| {
                let from = if queued > 0 { clear_at.max(now) } else { clear_at };
                Some(from.saturating_add_signed(queued))
            };
            self.prefill_clear_at.fetch_update(Relaxed, Relaxed, update).expect("update never answers None");
        }
    }

    // === outcomes ===

    /// A request that was picked or answered at `at` failed there.
    pub(crate) fn errored(&self, at: Instant) {
        self.errors.fetch_add(1, Relaxed);
        self.errored_at.fetch_max(self.micros(at), Relaxed);
    }

    /// A request was answered.
    pub(crate) fn answered(&self) {
        if self.errors.load(Relaxed) != 0 {
            self.errors.store(0, Relaxed);
        }
    }

    /// Moves the ratio of observed to expected time to first byte towards `ratio`, by an eighth. Concurrent updates may
    /// lose one another; it is an average.
    pub(crate) fn learn_first_byte(&self, ratio: f32) {
        let old = self.first_byte_ratio();
        self.first_byte_ratio.store((old + (ratio - old) * 0.125).to_bits(), Relaxed);
    }

    /// Observed over expected time to first byte, smoothed; 1 before the first observation.
    #[must_use]
    pub fn first_byte_ratio(&self) -> f32 {
        f32::from_bits(self.first_byte_ratio.load(Relaxed))
    }

    // === scrapes ===

    /// Stores what was read at `at`.
    pub fn store(&self, reading: Reading, at: Instant) {
        let own = self.in_flight.load(Relaxed);
        let told = self.others.requests();
        let most = self.in_flight_high.swap(own + told, Relaxed).max(own + told);
        self.others.scraped();
        let before = Packed(self.load.load(Relaxed));
        let next = Packed::of(&reading, most);
        let calibration = self.calibration.load();
        if let Some(calibration) = &*calibration {
            let look = Look {
                running: next.running(),
                waiting: next.waiting(),
                sent: self.sent.load(Relaxed),
                own,
                // Their prompts are not seen one by one.
                foreign: next.foreign() + told,
            };
            calibration.totals(look, &reading.totals, at);
        }
        self.prove(before, next, at);
        if let Some((running, calibration)) = self.learn_slots(before, next).zip(calibration.as_ref()) {
            calibration.batch(running);
        }
        self.load.store(next.0, Relaxed);
        self.held_at_scrape.store(self.held_tokens(), Relaxed);
        if let Some(tokens) = reading.kv_tokens {
            self.kv_tokens.store(tokens, Relaxed);
        }
        if let Some(tokens) = reading.kv_block {
            self.kv_block.store(tokens, Relaxed);
        }
        let held = self.adapters.load();
        if held.as_deref() != reading.adapters.as_ref() {
            self.adapters.store(reading.adapters.map(Arc::new));
        }
        self.scrape_failures.store(0, Relaxed);
        self.scraped_at.store(self.micros(at), Release);
    }

    /// Requests waited at two scrapes in a row: the server runs no more than it does. More of them running without
    /// anyone waiting proves the opposite.
    fn learn_slots(&self, before: Packed, next: Packed) -> Option<u32> {
        let known = self.learned_slots.load(Relaxed);
        let running = next.running().unwrap_or(0);
        let waits = |packed: Packed| packed.waiting().is_some_and(|waiting| waiting > 0);
        let full = waits(before) && waits(next) && running > 0;
        let more = known > 0 && running > known;
        if full || more {
            self.learned_slots.store(running, Relaxed);
        }
        (full || more).then_some(running)
    }

    /// Whether it runs no more than it does: as many as before, while others wait.
    fn prove(&self, before: Packed, next: Packed, at: Instant) {
        let running = next.running().unwrap_or(0);
        let waits = |packed: Packed| packed.waiting().is_some_and(|waiting| waiting > 0);
        let full = running > 0 && before.running() == next.running() && waits(before) && waits(next);
        self.proof.look(running, full, self.micros(at));
    }

    /// The endpoint reports a model with this [`Adapters::hash`] of its name.
    pub(crate) fn reports_model(&self, model: u64) {
        self.model.store(model, Relaxed);
    }

    /// Whether the endpoint reported `model` (an [`Adapters::hash`]) as its model or one of its adapters.
    #[must_use]
    pub fn has_reported(&self, model: u64) -> bool {
        let held = |adapters: &Arc<Adapters>| adapters.runs(model) || adapters.awaits(model);
        self.model.load(Relaxed) == model || self.adapters.load().as_ref().is_some_and(held)
    }

    /// The endpoint answered, but shows no metrics: alive, load unknown.
    pub(crate) fn store_alive(&self) {
        self.scrape_failures.store(0, Relaxed);
    }

    /// A scrape was refused, reset or timed out; answers how many in a row.
    pub(crate) fn scrape_failed(&self) -> u32 {
        self.scrape_failures.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Forgets readings and failures: the address belongs to another Pod. Work in flight stays counted.
    pub(crate) fn forget(&self) {
        self.scraped_at.store(0, Relaxed);
        self.load.store(Packed::UNKNOWN.0, Relaxed);
        for counter in [&self.scrape_failures, &self.errors, &self.learned_slots] {
            counter.store(0, Relaxed);
        }
        self.proof.refuted();
        self.kv_tokens.store(0, Relaxed);
        self.kv_block.store(0, Relaxed);
        self.model.store(0, Relaxed);
        self.emptied();
        self.first_byte_ratio.store(1.0_f32.to_bits(), Relaxed);
        self.adapters.store(None);
        self.calibration.store(None);
    }

    /// The model server refuses connections: when it is back, its caches are empty.
    pub(crate) fn emptied(&self) {
        if let Some(held) = &self.held {
            held.clear();
        }
    }

    // === what the picker and others read ===

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
        match self.scraped_at.load(std::sync::atomic::Ordering::Acquire) {
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

    fn held_tokens(&self) -> u64 {
        self.prompt_tokens.load(Relaxed) + self.decode_tokens.load(Relaxed) + self.others.held_tokens()
    }

    /// Size of the KV cache in tokens, when the model server told.
    #[must_use]
    pub fn kv_tokens(&self) -> Option<u64> {
        Some(self.kv_tokens.load(Relaxed)).filter(|tokens| *tokens > 0)
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
            slots_proven: self.proof.holds(self.micros(now)),
            prefill_tokens: self.prefill_tokens.load(Relaxed) + self.others.prefill_tokens(),
            prefill_clear_s: self.prefill_clear_at.load(Relaxed).saturating_sub(self.micros(now)) as f32
                / 1e6,
            mean_decode_tokens: (own + peers > 0).then(|| decode_tokens as f32 / (own + peers) as f32),
            kv_used: kv_used.or_else(|| packed.kv_usage()),
            kv_tokens,
        }
    }

    #[cfg(test)]
    pub(crate) fn work(&self) -> [u64; 4] {
        [
            self.in_flight().into(),
            self.prompt_tokens.load(Relaxed),
            self.prefill_tokens.load(Relaxed),
            self.decode_tokens.load(Relaxed),
        ]
    }
}
