//! An admitted request.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::fence;

use super::gate::{Inner, now};

/// An admitted request. Dropping it makes room, and lets go those that wait for it.
#[derive(Debug)]
pub struct Ticket {
    gate: Arc<Inner>,
    placed: bool,
}

impl Ticket {
    /// For a request that [`Inner::enter`] counted.
    pub(super) fn entered(gate: &Arc<Inner>) -> Self {
        Self { gate: Arc::clone(gate), placed: false }
    }

    /// The request is counted at its endpoint.
    pub fn placed(&mut self) {
        if !std::mem::replace(&mut self.placed, true) {
            self.gate.pending.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.placed();
        self.gate.in_flight.fetch_sub(1, Relaxed);
        // Beside the fence of who begins to wait: one of the two sees the other.
        fence(SeqCst);
        if self.gate.waiting.load(Relaxed) > 0 {
            self.gate.dispatch(now());
        }
    }
}
