//! What scrapes and their failures change.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::Instant;

use super::{Fewer, Slot};
use crate::accelerator::Look;
use crate::pool::load::Packed;
use crate::pool::reading::{Adapters, Reading};

impl Slot {
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
        if let Some((running, calibration)) = self.learn_slots(before, next, at).zip(calibration.as_ref()) {
            calibration.batch(running);
        }
        self.load.store(next.0, Relaxed);
        self.held_at_scrape.store(self.held_tokens(), Relaxed);
        if let Some(tokens) = reading.kv_tokens {
            self.kv_tokens.store(tokens, Relaxed);
            self.kv_largest.store(reading.kv_largest.unwrap_or(tokens), Relaxed);
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

    /// Requests waited at two scrapes in a row: the server runs no more than it does, or those that wait begin with its
    /// next step. So fewer than are known to run have to be seen [for a while](Fewer). More of them prove the opposite.
    fn learn_slots(&self, before: Packed, next: Packed, at: Instant) -> Option<u32> {
        let known = self.learned_slots.load(Relaxed);
        let running = next.running().unwrap_or(0);
        let waits = |packed: Packed| packed.waiting().is_some_and(|waiting| waiting > 0);
        let full = waits(before) && waits(next) && running > 0;
        let learned = match running >= known {
            true => {
                self.fewer.lock().take();
                (full || (known > 0 && running > known)).then_some(running)
            }
            false if full => Fewer::seen(&mut self.fewer.lock(), running, at),
            false => None,
        };
        if let Some(running) = learned {
            self.learned_slots.store(running, Relaxed);
        }
        learned
    }

    /// Its server takes this many tokens of prompt and answer together; 0 when it does not tell.
    pub(crate) fn takes_context(&self, tokens: u32) {
        self.context.store(tokens, Relaxed);
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
        self.fewer.lock().take();
        self.kv_tokens.store(0, Relaxed);
        self.kv_largest.store(0, Relaxed);
        self.kv_block.store(0, Relaxed);
        self.context.store(0, Relaxed);
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
}
