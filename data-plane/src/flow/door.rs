//! Whether one more waiting request may go: bounds on requests in flight, what is free at the endpoints, and the pace of
//! lower priorities.

use std::time::Instant;

use super::capacity::{Reserved, Stock};
use super::pace::Pace;
use super::queue::{Room, Taken};
use super::settings::Limits;
use super::shed::Shed;
use super::waiter::Waiter;

/// Requests in flight below which one of `priority` may go.
pub(super) fn bound(limits: &Limits, priority: i32) -> usize {
    if priority < 0 { limits.sheddable_in_flight.min(limits.max_in_flight) } else { limits.max_in_flight }
}

/// Why nothing goes, where nothing waits.
pub(super) fn over(limits: &Limits, in_flight: usize) -> Shed {
    match in_flight >= limits.max_in_flight {
        true => Shed::Full { in_flight, bound: limits.max_in_flight },
        false => Shed::Saturated { retry_after: 1 },
    }
}

/// What the queue gives places of.
pub(super) struct Door<'a> {
    pub(super) stock: &'a mut Stock,
    pub(super) pace: &'a mut Pace,
    pub(super) open: bool,
    pub(super) pending: u32,
    pub(super) in_flight: usize,
    pub(super) limits: Limits,
    pub(super) now: Instant,
}

impl Room for Door<'_> {
    fn take(&mut self, waiter: &Waiter) -> Taken {
        if self.in_flight >= bound(&self.limits, waiter.priority) {
            return Taken::Full;
        }
        let reserved = match self.open {
            true => Reserved::Yes,
            false if self.stock.total() <= self.pending => Reserved::No,
            // What is free is left to those above it.
            false if self.pace.holds(waiter.priority, self.now) => Reserved::No,
            false => self.stock.reserve(waiter.tokens, &waiter.among()),
        };
        match reserved {
            Reserved::Yes => {
                self.in_flight += 1;
                self.pace.goes(waiter.priority, self.now);
                Taken::Yes
            }
            Reserved::Elsewhere => Taken::Elsewhere,
            // Also for one that is too large for what is free: smaller ones would keep it out for ever.
            Reserved::No => Taken::Full,
        }
    }
}
