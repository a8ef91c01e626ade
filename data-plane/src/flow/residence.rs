//! How long requests stay: from admission to their end, on average over about as many as are in flight.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Of how many requests the average is, at least and at most.
const MEMORY: (usize, usize) = (16, 1024);

/// A fading average. Concurrent updates may lose one another.
#[derive(Debug, Default)]
pub(super) struct Residence(AtomicU64);

impl Residence {
    /// A request ended `after` its admission, one of so many `in_flight`.
    pub(super) fn ended(&self, after: Duration, in_flight: usize) {
        let before = f64::from_bits(self.0.load(Relaxed));
        let weight = 1.0 / in_flight.clamp(MEMORY.0, MEMORY.1) as f64;
        let after = after.as_secs_f64();
        let next = if before > 0.0 { before + (after - before) * weight } else { after };
        self.0.store(next.to_bits(), Relaxed);
    }

    /// The average in seconds; 0 before the first end.
    pub(super) fn seconds(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_follows_within_as_many_ends_as_are_in_flight() {
        let residence = Residence::default();
        assert_eq!(residence.seconds(), 0.0);
        residence.ended(Duration::from_secs(2), 100);
        assert_eq!(residence.seconds(), 2.0);
        for _ in 0..200 {
            residence.ended(Duration::from_secs(1), 100);
        }
        assert!((1.0..1.2).contains(&residence.seconds()), "{}", residence.seconds());
    }
}
