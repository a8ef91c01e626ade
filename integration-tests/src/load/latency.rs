//! A histogram of durations: 64 steps for each doubling, so that a quantile is off by less than 2 %.

use std::{fmt, time::Duration};

const STEPS: u64 = 64;

/// Recorded durations, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    counts: Vec<u64>,
    count: u64,
    max: u64,
    sum: u64,
}

impl Latency {
    /// Adds a duration.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = bucket(micros);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(micros);
        self.sum = self.sum.saturating_add(micros);
    }

    /// Adds all durations of another histogram.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// The number of durations.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max)
    }

    /// The mean; zero when there are none.
    pub fn mean(&self) -> Duration {
        Duration::from_micros(self.sum.checked_div(self.count).unwrap_or(0))
    }

    /// The duration that a share `q` (0 to 1) of all does not exceed; zero when there are none.
    pub fn quantile(&self, q: f64) -> Duration {
        let rank = (q * self.count as f64).ceil().max(1.0);
        let mut below = 0;
        for (index, count) in self.counts.iter().enumerate() {
            below += count;
            if below as f64 >= rank {
                return Duration::from_micros(upper(index).min(self.max));
            }
        }
        Duration::ZERO
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|q| self.quantile(q));
        write!(f, "p50 {p50:.1?} p90 {p90:.1?} p99 {p99:.1?} max {:.1?}", self.max())
    }
}

/// Values below 64 have a bucket each; above, every doubling has 64.
fn bucket(value: u64) -> usize {
    let index = if value < STEPS {
        value
    } else {
        let doublings = u64::from(value.ilog2() - STEPS.ilog2());
        (doublings + 1) * STEPS + ((value >> doublings) - STEPS)
    };
    usize::try_from(index).expect("at most 59 doublings of 64 steps")
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let doublings = bucket / STEPS - 1;
    let step = bucket % STEPS + STEPS;
    ((step + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_tile_the_numbers() {
        for value in (0..5000).chain([u64::from(u32::MAX), 1 << 50]) {
            let index = bucket(value);
            assert!(upper(index) >= value && (index == 0 || upper(index - 1) < value), "{value} in {index}");
        }
    }

    #[test]
    fn quantiles() {
        let (mut latency, mut other) = (Latency::default(), Latency::default());
        assert_eq!(latency.quantile(0.5), Duration::ZERO);
        for micros in 1..=10_000 {
            let half = if micros % 2 == 0 { &mut latency } else { &mut other };
            half.record(Duration::from_micros(micros));
        }
        latency.merge(&other);
        for (q, micros) in [(0.5, 5000.0), (0.99, 9900.0), (0.001, 10.0)] {
            let measured = latency.quantile(q).as_secs_f64() * 1e6;
            assert!((measured / micros - 1.0).abs() < 0.02, "{q}: {measured}");
        }
        assert_eq!(
            (latency.quantile(1.0), latency.max()),
            (Duration::from_millis(10), Duration::from_millis(10))
        );
        assert_eq!(latency.mean(), Duration::from_micros(5000));
    }
}
