//! What a run came to.

/// Percentiles of a time, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
}

impl Quantiles {
    pub(super) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |q: f64| {
            let index = (values.len().saturating_sub(1) as f64 * q).round() as usize;
            values.get(index).copied().unwrap_or(0.0)
        };
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99) }
    }

    /// Each percentile over that of `other`.
    #[must_use]
    pub fn over(&self, other: &Self) -> [f64; 3] {
        [self.p50 / other.p50, self.p90 / other.p90, self.p99 / other.p99]
    }
}

/// Times of the requests that arrived after the warm-up, and picks by engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Arrival to first token.
    pub ttft: Quantiles,
    /// Arrival to end.
    pub total: Quantiles,
    /// Requests by engine.
    pub picks: Vec<usize>,
}
