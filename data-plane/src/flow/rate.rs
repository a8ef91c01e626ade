//! How fast requests leave the queue, and what that says to a client that comes back.

use std::time::{Duration, Instant};

/// Observations fade by a factor e in this time.
const MEMORY: Duration = Duration::from_secs(10);
/// Answer while nothing was observed.
const UNKNOWN: u32 = 5;
/// The longest answer in seconds: by then the load is another.
const LONGEST: u32 = 60;

/// An exponentially fading count of events, started by the first request that waits.
#[derive(Debug, Default)]
pub(super) struct Rate {
    count: f64,
    since: Option<Instant>,
    at: Option<Instant>,
}

impl Rate {
    /// Somebody waits: if nothing was observed for long, observation starts anew.
    pub(super) fn start(&mut self, now: Instant) {
        let idle = self.at.is_none_or(|at| now.saturating_duration_since(at) > 3 * MEMORY);
        if idle {
            *self = Self { count: 0.0, since: Some(now), at: Some(now) };
        }
    }

    /// `count` requests left.
    pub(super) fn add(&mut self, count: usize, now: Instant) {
        if count > 0 && self.since.is_some() {
            self.count = self.faded(now) + count as f64;
            self.at = Some(now);
        }
    }

    fn faded(&self, now: Instant) -> f64 {
        let age = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.count * (-age.div_duration_f64(MEMORY)).exp()
    }

    /// Requests per second; None before anything was observed.
    pub(super) fn per_second(&self, now: Instant) -> Option<f64> {
        let watched = now.saturating_duration_since(self.since?).max(Duration::from_millis(100));
        // What an unbroken rate of 1 would have counted up to now.
        let unit = MEMORY.as_secs_f64() * (1.0 - (-watched.div_duration_f64(MEMORY)).exp());
        Some(self.faded(now) / unit).filter(|rate| *rate > 0.0)
    }

    /// Whole seconds until `ahead` requests and one more have left, 1 to 60.
    pub(super) fn seconds_for(&self, ahead: usize, now: Instant) -> u32 {
        let seconds = |rate: f64| ((ahead + 1) as f64 / rate).ceil().clamp(1.0, f64::from(LONGEST)) as u32;
        self.per_second(now).map_or(UNKNOWN, seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_follows_the_observed_rate() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut rate = Rate::default();
        assert_eq!(rate.seconds_for(10, at(0)), UNKNOWN);
        rate.start(at(0));
        assert_eq!(rate.seconds_for(10, at(500)), UNKNOWN, "nothing has left yet");
        for ms in (0..5_000).step_by(100) {
            rate.add(1, at(ms));
        }
        let measured = rate.per_second(at(5_000)).unwrap();
        assert!((8.5..11.5).contains(&measured), "{measured}");
        assert!((9..=12).contains(&rate.seconds_for(100, at(5_000))));
        assert_eq!(rate.seconds_for(0, at(5_000)), 1);
        assert_eq!(rate.seconds_for(1_000_000, at(5_000)), LONGEST);
        for ms in (5_000..25_000).step_by(1000) {
            rate.add(1, at(ms));
        }
        assert!(rate.per_second(at(25_000)).unwrap() < 3.0, "it forgets");
        rate.start(at(90_000));
        assert_eq!(rate.per_second(at(90_000)), None, "observation starts anew");
    }
}
