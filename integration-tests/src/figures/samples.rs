//! Percentiles and medians.

/// Durations or other values; sorted when looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub(super) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Adds all of others.
    pub(super) fn append(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value below which this share of the samples lies (nearest rank); NaN when there are none.
    pub(super) fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    /// The middle; the mean of the two in the middle of an even number; NaN when there are none.
    pub(super) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let samples: Samples = (1..=100).rev().map(f64::from).collect();
        assert_eq!(
            (samples.percentile(50.0), samples.percentile(99.0), samples.percentile(100.0)),
            (50.0, 99.0, 100.0)
        );
        assert_eq!(samples.median(), 50.5);
        assert_eq!(Samples::from_iter([3.0, 1.0, 2.0]).median(), 2.0);
        assert!(Samples::default().median().is_nan() && Samples::default().percentile(99.0).is_nan());
    }
}
