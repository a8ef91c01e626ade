//! How long to wait before the API server is asked again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
/// Short enough that an API server that is back is noticed soon, and long enough that the 18 watches of a few replicas
/// are no load for one that struggles.
const LONGEST: Duration = Duration::from_secs(5);

/// Doubling waits, each with up to half of itself added so that replicas do not ask in step.
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure. `jitter` is from 0 to 1.
    pub(super) fn next(&mut self, jitter: f64) -> Duration {
        let wait = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        wait + wait.mul_f64(jitter / 2.0)
    }

    /// It works.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_five_seconds() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..40).map(|_| backoff.next(0.0).as_millis()).collect();
        assert_eq!(waits[..8], [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(waits[39], 5000);
        assert_eq!(backoff.next(1.0), Duration::from_millis(7500));
        backoff.reset();
        assert_eq!(backoff.next(0.5), Duration::from_millis(125));
    }
}
