//! Which slot belongs to which address, for all pools of the process.
//!
//! A slot lives as long as a snapshot or a request in flight holds it. An endpoint that leaves and returns while
//! requests run there finds its slot again, so that counts are neither lost nor negative; one that returns later starts
//! from nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;

use super::sent::SentLog;
use super::slot::Slot;
use crate::prefix::Index;
use crate::prefix::precise::Precise;

/// The slots of a process.
#[derive(Debug)]
pub(super) struct Board {
    epoch: Instant,
    /// The prompts that slots were sent.
    pub(super) prefixes: Index,
    /// The blocks that engines say they hold.
    pub(super) precise: Precise,
    /// The prompts of the last moments, for other pickers.
    pub(super) sent: SentLog,
    /// Guards the map only; held by the writer of snapshots, never by a pick.
    slots: Mutex<HashMap<SocketAddr, Weak<Slot>>>,
}

impl Board {
    pub(super) fn new(epoch: Instant) -> Self {
        let (prefixes, precise, sent) = (Index::default(), Precise::default(), SentLog::default());
        Self { epoch, prefixes, precise, sent, slots: Mutex::default() }
    }

    /// The slot of `address`: the living one, or a fresh one.
    pub(super) fn slot(&self, address: SocketAddr) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        let entry = slots.entry(address).or_default();
        entry.upgrade().unwrap_or_else(|| {
            let slot = Arc::new(Slot::indexed(address, self.epoch, (&self.prefixes, &self.precise)));
            *entry = Arc::downgrade(&slot);
            slot
        })
    }

    /// The slot of `address`, if it lives.
    pub(super) fn find(&self, address: SocketAddr) -> Option<Arc<Slot>> {
        self.slots.lock().get(&address)?.upgrade()
    }

    /// Drops the entries of slots that are gone.
    pub(super) fn sweep(&self) {
        self.slots.lock().retain(|_, slot| slot.strong_count() > 0);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.lock().len()
    }
}
