//! The bounds of one pool, and who is inside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bounds on requests of one pool that were admitted here and have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// No request is admitted above this.
    pub max_in_flight: usize,
    /// Requests of a priority below 0 are not admitted above this.
    pub sheddable_in_flight: usize,
}

/// Why a request is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Shed {
    /// Too many requests of any priority.
    #[error("The pool has {in_flight} requests in flight, its bound is {bound}. Retry later.")]
    Full {
        /// Requests in flight.
        in_flight: usize,
        /// The bound.
        bound: usize,
    },
    /// Too many requests for one of a priority below 0.
    #[error(
        "The pool has {in_flight} requests in flight; above {bound} it sheds requests of a priority below 0. \
         Retry later."
    )]
    Saturated {
        /// Requests in flight.
        in_flight: usize,
        /// The bound.
        bound: usize,
    },
}

impl Shed {
    /// The named reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Full { .. } => "full",
            Self::Saturated { .. } => "saturated",
        }
    }
}

/// Admits requests of one pool.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    in_flight: Arc<AtomicUsize>,
}

/// An admitted request. Dropping it makes room.
#[derive(Debug)]
pub struct Ticket(Arc<AtomicUsize>);

impl Gate {
    /// A gate with nobody inside.
    pub fn new(limits: Limits) -> Self {
        Self { limits, in_flight: Arc::default() }
    }

    /// Requests that are inside.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Admits a request, or says why not.
    pub fn admit(&self, priority: i32) -> Result<Ticket, Shed> {
        // Counted first and taken back when refused, so that concurrent callers never exceed a bound together.
        let ticket = Ticket(Arc::clone(&self.in_flight));
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let Limits { max_in_flight, sheddable_in_flight } = self.limits;
        if in_flight >= max_in_flight {
            return Err(Shed::Full { in_flight, bound: max_in_flight });
        }
        if priority < 0 && in_flight >= sheddable_in_flight {
            return Err(Shed::Saturated { in_flight, bound: sheddable_in_flight });
        }
        Ok(ticket)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheddable_requests_go_first_and_dropped_tickets_make_room() {
        let gate = Gate::new(Limits { max_in_flight: 3, sheddable_in_flight: 1 });
        let first = gate.admit(-1).unwrap();
        assert_eq!(gate.admit(-1).unwrap_err(), Shed::Saturated { in_flight: 1, bound: 1 });
        let others = [gate.admit(0).unwrap(), gate.admit(100).unwrap()];
        assert_eq!(gate.admit(100).unwrap_err(), Shed::Full { in_flight: 3, bound: 3 });
        assert_eq!(gate.in_flight(), 3, "a refused request is not counted");
        drop((first, others));
        assert_eq!(gate.in_flight(), 0);
        assert!(gate.admit(-1).is_ok());
    }
}
