//! How often something may happen: a rate, and a burst after a pause. One word, no lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// The generic cell rate algorithm: `next` is when the burst would be used up if all went on at the rate.
#[derive(Debug)]
pub(super) struct Budget {
    epoch: Instant,
    /// Nanoseconds from the epoch.
    next: AtomicU64,
    interval: u64,
    burst: u64,
}

impl Budget {
    pub(super) fn new(epoch: Instant, per_second: u32, burst: u32) -> Self {
        let interval = 1_000_000_000 / u64::from(per_second);
        Self { epoch, next: AtomicU64::new(0), interval, burst: u64::from(burst - 1) * interval }
    }

    /// Whether there is some left at `now`.
    pub(super) fn has(&self, now: Instant) -> bool {
        self.next.load(Relaxed) <= self.nanos(now) + self.burst
    }

    /// Takes one, if there is one. Of those that ask at the same moment for the last, one may get none: it is a sample.
    pub(super) fn take(&self, now: Instant) -> bool {
        let at = self.nanos(now);
        let next = self.next.load(Relaxed);
        let free = next <= at + self.burst;
        free && self.next.compare_exchange(next, next.max(at) + self.interval, Relaxed, Relaxed).is_ok()
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX / 2)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rate_and_a_burst() {
        let epoch = Instant::now();
        let budget = Budget::new(epoch, 10, 5);
        let mut at = epoch;
        for (pause_ms, tries, taken) in
            [(0, 9, 5), (99, 1, 0), (1, 3, 1), (250, 9, 2), (50, 9, 1), (60_000, 9, 5), (100, 9, 1)]
        {
            at += Duration::from_millis(pause_ms);
            let count = (0..tries).filter(|_| budget.has(at) && budget.take(at)).count();
            assert_eq!(count, taken, "after {pause_ms} ms");
            assert_eq!(budget.has(at), taken == tries);
        }
    }
}
