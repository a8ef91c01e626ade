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

mod fewer;
mod scrapes;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::accelerator::Calibration;

use self::fewer::Fewer;
use super::load::Packed;
use super::others::{Others, Standing};
use super::reading::Adapters;
use super::work::Work;
use crate::prefix::precise::{Mirror, Precise};
use crate::prefix::{Held, Index};

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
    kv_largest: AtomicU64,
    learned_slots: AtomicU32,
    /// Guards what may lower them; taken by scrapes only.
    fewer: Mutex<Option<Fewer>>,
    held_at_scrape: AtomicU64,
    scraped_at: AtomicU64,
    scrape_failures: AtomicU32,
    errors: AtomicU32,
    errored_at: AtomicU64,
    first_byte_ratio: AtomicU32,
    kv_block: AtomicU32,
    /// Tokens of prompt and answer together; 0 when its server does not tell.
    context: AtomicU32,
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
            kv_largest: AtomicU64::new(0),
            learned_slots: AtomicU32::new(0),
            fewer: Mutex::default(),
            held_at_scrape: AtomicU64::new(0),
            scraped_at: AtomicU64::new(0),
            scrape_failures: AtomicU32::new(0),
            errors: AtomicU32::new(0),
            errored_at: AtomicU64::new(0),
            first_byte_ratio: AtomicU32::new(1.0_f32.to_bits()),
            kv_block: AtomicU32::new(0),
            context: AtomicU32::new(0),
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

    fn held_tokens(&self) -> u64 {
        self.prompt_tokens.load(Relaxed) + self.decode_tokens.load(Relaxed) + self.others.held_tokens()
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
