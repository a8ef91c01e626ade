//! Whether the number of requests that an endpoint runs together is proven at the moment.
//!
//! ```text
//! three scrapes: as many run as before, and others wait ─▶ holds for ½ s, twice as long each time that it is found again
//! more of them run ─▶ does not hold
//! ```
//! Servers let requests wait for other reasons too (until the next step, for prompts to be computed), and then run more of
//! them a moment later; so it takes three scrapes, and what is proven has to be found again and again before it holds for long.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// For how long it holds at first, in microseconds.
const SHORTEST: u64 = 500_000;
/// And at most.
const LONGEST: u64 = 16_000_000;

/// Numbers that differ by less than this part are one: who ends is not replaced at once.
const NEARLY: u32 = 8;

/// Written by those who store scrapes, read by picks; each field is valid alone.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// Scrapes in a row that showed it.
    row: AtomicU32,
    running: AtomicU32,
    /// Microseconds from the slot's epoch.
    until: AtomicU64,
    held: AtomicU64,
}

impl Proof {
    /// A scrape at `micros` showed that `running` run; `full`: as before, while others wait as before.
    pub(super) fn look(&self, running: u32, full: bool, micros: u64) {
        if running > self.running.load(Relaxed) {
            self.refuted();
        }
        if !full {
            self.row.store(0, Relaxed);
        } else if self.row.fetch_add(1, Relaxed) > 0 {
            self.found(running, micros);
        }
    }

    fn found(&self, running: u32, micros: u64) {
        if self.holds(micros) {
            return;
        }
        let again = self.running.swap(running, Relaxed).abs_diff(running) <= running / NEARLY;
        let hold = if again { (self.held.load(Relaxed) * 2).clamp(SHORTEST, LONGEST) } else { SHORTEST };
        self.held.store(hold, Relaxed);
        self.until.store(micros + hold, Relaxed);
    }

    /// It was wrong, or the server is another.
    pub(super) fn refuted(&self) {
        self.running.store(0, Relaxed);
        self.until.store(0, Relaxed);
    }

    /// Whether it holds at `micros`.
    pub(super) fn holds(&self, micros: u64) -> bool {
        micros < self.until.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_again_holds_longer_and_what_was_wrong_starts_over() {
        let proof = Proof::default();
        let mut at = 1;
        for (running, millis) in [
            (8, 500),
            (32, 500),
            (32, 1_000),
            (32, 2_000),
            (32, 4_000),
            (32, 8_000),
            (32, 16_000),
            (31, 16_000),
            (24, 500),
        ] {
            assert!(!proof.holds(at));
            proof.found(running, at);
            proof.found(7, at + 1);
            at += millis * 1_000;
            assert!(proof.holds(at - 1), "{running}: {millis}");
        }
        proof.refuted();
        for (full, holds) in [(true, false), (false, false), (true, false), (true, true)] {
            proof.look(31, full, at);
            assert_eq!(proof.holds(at), holds, "{full}");
        }
        assert!(!proof.holds(at + SHORTEST), "it is found for the first time");
        proof.look(30, false, at);
        assert!(proof.holds(at));
        proof.look(32, false, at);
        assert!(!proof.holds(at));
    }
}
