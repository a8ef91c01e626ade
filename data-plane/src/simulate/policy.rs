//! Who decides where a request goes: ours, and those it is compared with.

use crate::pool::Reading;

use super::engine::{Engine, Happened, Job};

/// What our picker believes at the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seeds {
    /// The table of classes: right in ratios, wrong in scale for these engines.
    Table,
    /// The engines' own speeds.
    Right,
    /// Engines are taken in turn for four times as slow and four times as fast as they are.
    Wrong,
}

/// A policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// Uniform.
    Random,
    /// In turn.
    RoundRobin,
    /// Fewest requests in flight, counted where requests are sent.
    LeastRequest,
    /// The longest prefix that was sent there; ties at random.
    PrefixOnly,
    /// 2 · queue + 2 · free KV + 3 · prefix, from the last scrape; ties at random (llm-d-router's default).
    ScorerSum,
    /// Our picker, learning.
    Ours(Seeds),
    /// Our picker with the right speeds, not learning.
    Known,
    /// Least end-to-end time of the request and of those in flight that it slows down, from the engines' true state and the
    /// true lengths of answers; of those that are still to come it knows nothing.
    Clairvoyant,
}

/// llm-d-router's default: see [`Policy::ScorerSum`]. `cached` are the tokens of each endpoint's longest prefix of a prompt
/// of `prompt` tokens.
///
/// # Panics
/// When there are fewer of `cached` than of `readings`.
#[must_use]
pub fn scorer_sum(readings: &[Reading], cached: &[u32], prompt: u32, rng: &mut fastrand::Rng) -> usize {
    let queue = |reading: &Reading| f64::from(reading.waiting.unwrap_or(0));
    let most = readings.iter().map(queue).fold(f64::MIN, f64::max);
    let least = readings.iter().map(queue).fold(f64::MAX, f64::min);
    let score = |index: usize| {
        let reading = &readings[index];
        let queue = if most > least { (most - queue(reading)) / (most - least) } else { 1.0 };
        let free = 1.0 - f64::from(reading.kv_usage.unwrap_or(0.0));
        let prefix = f64::from(cached[index]) / f64::from(prompt);
        2.0 * queue + 2.0 * free + 3.0 * prefix
    };
    least_by(readings.len(), rng, |index| -score(index))
}

/// See [`Policy::Clairvoyant`]: plays the request at each engine, as if it were the last, and the engine without it.
pub(super) fn clairvoyant(engines: &[Engine], job: &Job, rng: &mut fastrand::Rng) -> usize {
    /// The sum of all ends.
    fn ends(mut engine: Engine) -> f64 {
        let mut happened = Vec::new();
        while engine.next().is_finite() {
            engine.advance(engine.next(), &mut happened);
        }
        let end = |event: &Happened| if let Happened::Ended(_, at) = event { *at } else { 0.0 };
        happened.iter().map(end).sum()
    }
    let total = |engine: &Engine| {
        if !engine.takes(job) {
            return f64::INFINITY;
        }
        let mut with = engine.clone();
        with.push(job.clone());
        ends(with) - ends(engine.clone())
    };
    least_by(engines.len(), rng, |index| total(&engines[index]))
}

/// The index below `count` of the least value; ties at random.
pub fn least_by(count: usize, rng: &mut fastrand::Rng, value: impl Fn(usize) -> f64) -> usize {
    let mut best = (f64::INFINITY, 0, 0);
    for index in 0..count {
        let value = value(index);
        if value < best.0 {
            best = (value, index, 1);
        } else if value <= best.0 {
            best.2 += 1;
            if rng.usize(..best.2) == 0 {
                best.1 = index;
            }
        }
    }
    best.1
}
