//! The account of one request at one slot: added once, removed once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pool::{Slot, Work};

/// Holds a request's work on a slot until it is dropped.
#[derive(Debug)]
pub(crate) struct InflightGuard {
    slot: Arc<Slot>,
    work: Work,
    prefilled: bool,
    /// Prefill time queued at the slot, while no answer shows that it was used.
    queued: Duration,
}

impl InflightGuard {
    /// Counts `work`; also answers how many requests were in flight before.
    pub(crate) fn claim(slot: Arc<Slot>, work: Work) -> (Self, u32) {
        let before = slot.add(&work);
        (Self { slot, work, prefilled: false, queued: Duration::ZERO }, before)
    }

    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The prompt is computed. Further calls change nothing.
    pub(crate) fn prefilled(&mut self) {
        if !std::mem::replace(&mut self.prefilled, true) {
            self.slot.prefilled(&self.work);
        }
    }

    /// The prompt takes `length` to compute, after those sent before. Replaces an earlier length.
    pub(crate) fn queue(&mut self, length: Duration, now: Instant) {
        self.slot.unqueue_prefill(self.queued);
        self.slot.queue_prefill(length, now);
        self.queued = length;
    }

    /// The endpoint works on the request: what was queued stays, and passes with time.
    pub(crate) fn answered(&mut self) {
        self.queued = Duration::ZERO;
    }

    /// The request runs at `slot` instead.
    pub(crate) fn move_to(&mut self, slot: Arc<Slot>, now: Instant) {
        let queued = self.queued;
        let (next, _) = Self::claim(slot, self.work);
        *self = next;
        self.queue(queued, now);
    }
}

impl Drop for InflightGuard {
    fn drop(&mut self) {
        self.slot.remove(&self.work, self.prefilled);
        if !self.queued.is_zero() {
            self.slot.unqueue_prefill(self.queued);
        }
    }
}
