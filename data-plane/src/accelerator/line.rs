//! One straight line, learned from noisy samples: seconds = fixed + per_unit · x.
//!
//! ```text
//! sample (x, seconds) ─▶ residual against the line ─▶ weight (Huber) ─▶ decayed sums ─┐
//! prior (fixed, per_unit) and how far to trust it ────────────────────────────────────┴─▶ solve ─▶ line
//! ```
//!
//! The sums are those of weighted least squares in relative terms, so that short and long times count alike. The prior
//! is worth a few samples: it says little about the scale (seeds are wrong by a factor) and more about the ratio of the
//! two parts, which few samples tell apart. Outliers are held down by a bound that follows the usual residual, and
//! samples that lie on one side for long are a drift: then what was learned before is mostly dropped.

use serde::{Deserialize, Serialize};

/// Relative error of one sample, as a standard deviation.
const NOISE: f64 = 0.25;
/// Residuals (logarithms) above this many usual ones count less.
const HUBER: f64 = 2.5;
/// No residual below this is an outlier.
const LEAST_OUTLIER: f64 = 0.3;
/// The mean residual of the last eight samples that is a drift.
const DRIFT: f64 = 0.35;
/// Parts stay within this factor of their prior.
const WIDEST: f64 = 256.0;

/// Both parts in seconds; positive and finite.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Parts {
    pub(super) fixed: f64,
    pub(super) per_unit: f64,
}

impl Parts {
    pub(super) fn at(&self, x: f64) -> f64 {
        self.per_unit.mul_add(x, self.fixed)
    }
}

/// How far a prior is trusted: standard deviations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trust {
    /// Of the logarithm of the scale of both parts together.
    pub(super) scale: f64,
    /// Of each part alone, relative to it.
    pub(super) part: f64,
    /// Samples after which evidence has faded to a third.
    pub(super) memory: f64,
}

/// The evidence. Without samples the line is its prior.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    one: f64,
    x: f64,
    xx: f64,
    y: f64,
    xy: f64,
    /// Samples, faded like the rest.
    samples: f64,
    /// Usual size of a residual.
    spread: f64,
    /// Mean residual of the last samples.
    bias: f64,
}

impl Default for Line {
    fn default() -> Self {
        Self { one: 0.0, x: 0.0, xx: 0.0, y: 0.0, xy: 0.0, samples: 0.0, spread: 1.0, bias: 0.0 }
    }
}

impl Line {
    /// How many samples the evidence is worth.
    pub(super) fn samples(&self) -> f64 {
        self.samples
    }

    /// Takes in one sample of `weight` (1: a usual one) beside what `line` says. Values that mean nothing are ignored.
    pub(super) fn add(&mut self, x: f64, seconds: f64, weight: f64, line: Parts, memory: f64) {
        let expected = line.at(x);
        let valid = |value: f64| value.is_finite() && value > 0.0;
        if !(valid(seconds) && valid(expected) && valid(weight) && x.is_finite() && x >= 0.0) {
            return;
        }
        let residual = (seconds / expected).ln();
        let bound = (HUBER * self.spread).max(LEAST_OUTLIER);
        let weight = weight.min(4.0) * (bound / residual.abs().max(1e-9)).min(1.0);
        self.spread += (residual.abs().min(4.0 * self.spread) - self.spread) / 16.0;
        self.spread = self.spread.max(0.02);
        self.bias += (residual.clamp(-1.0, 1.0) - self.bias) / 8.0;
        let mut keep = 1.0 - 1.0 / memory;
        if self.bias.abs() > DRIFT && self.samples > 4.0 {
            keep = 0.25;
            self.bias *= 0.5;
        }
        // Relative to the larger of both: what is much too long then tells little of its length.
        let scale = weight / (expected.max(seconds) * NOISE).powi(2);
        self.one = self.one.mul_add(keep, scale);
        self.x = self.x.mul_add(keep, scale * x);
        self.xx = self.xx.mul_add(keep, scale * x * x);
        self.y = self.y.mul_add(keep, scale * seconds);
        self.xy = self.xy.mul_add(keep, scale * x * seconds);
        self.samples = self.samples.mul_add(keep, weight);
    }

    /// The line that evidence and `prior` make together: first the scale of both parts, whose prior is one of factors
    /// rather than of differences, then each part around it.
    pub(super) fn solve(&self, prior: Parts, trust: Trust) -> Parts {
        let Parts { fixed, per_unit } = prior;
        let squares =
            fixed * fixed * self.one + 2.0 * fixed * per_unit * self.x + per_unit * per_unit * self.xx;
        let scale = (fixed * self.y + per_unit * self.xy) / squares;
        if !(scale.is_finite() && scale > 0.0) {
            return prior;
        }
        let doubt = (NOISE / trust.scale).powi(2);
        let scale = (scale.ln() * self.samples / (self.samples + doubt)).exp().clamp(1.0 / WIDEST, WIDEST);
        let (f, p) = (fixed * scale, per_unit * scale);
        let own = trust.part.powi(-2);
        let a = f * f * self.one + own;
        let b = f * p * self.x;
        let c = p * p * self.xx + own;
        let right = (f * self.y + own, p * self.xy + own);
        let determinant = a.mul_add(c, -(b * b));
        let (u, v) = ((c * right.0 - b * right.1) / determinant, (a * right.1 - b * right.0) / determinant);
        let sane = |part: f64| part.is_finite() && part > 0.05;
        // Where one part would vanish, only the scale is learned.
        if sane(u) && sane(v) {
            Parts { fixed: f * u, per_unit: p * v }
        } else {
            Parts { fixed: f, per_unit: p }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUST: Trust = Trust { scale: 2.0, part: 0.7, memory: 200.0 };
    const TRUE: Parts = Parts { fixed: 0.03, per_unit: 0.000_25 };

    fn learn(line: &mut Line, prior: Parts, truth: Parts, count: usize, seed: u64) -> Parts {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut now = line.solve(prior, TRUST);
        for _ in 0..count {
            let x = 50.0 + 3_000.0 * rng.f64() * rng.f64();
            let noise = 0.9 + 0.2 * rng.f64();
            line.add(x, truth.at(x) * noise, 1.0, now, TRUST.memory);
            now = line.solve(prior, TRUST);
        }
        now
    }

    fn close(a: Parts, b: Parts, share: f64) {
        for x in [200.0, 1_000.0, 3_000.0] {
            let ratio = a.at(x) / b.at(x);
            assert!((ratio - 1.0).abs() < share, "{a:?} against {b:?} at {x}: {ratio}");
        }
    }

    fn times(parts: Parts, factor: f64) -> Parts {
        Parts { fixed: parts.fixed * factor, per_unit: parts.per_unit * factor }
    }

    #[test]
    fn wrong_seeds_are_learned_from_a_dozen_samples() {
        for factor in [0.1, 0.25, 1.0, 4.0, 10.0] {
            let learned = learn(&mut Line::default(), times(TRUE, factor), TRUE, 12, 3);
            close(learned, TRUE, 0.12);
        }
    }

    #[test]
    fn outliers_do_not_move_it_and_drift_does() {
        let mut line = Line::default();
        let before = learn(&mut line, times(TRUE, 3.0), TRUE, 60, 5);
        let prior = times(TRUE, 3.0);
        for seconds in [90.0, 0.000_01, 40.0] {
            line.add(500.0, seconds, 1.0, before, TRUST.memory);
        }
        for bad in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
            line.add(500.0, bad, 1.0, before, TRUST.memory);
            line.add(bad.min(-1.0), 1.0, 1.0, before, TRUST.memory);
        }
        close(line.solve(prior, TRUST), TRUE, 0.1);
        let slower = learn(&mut line, prior, times(TRUE, 2.5), 40, 6);
        close(slower, times(TRUE, 2.5), 0.15);
    }
}
