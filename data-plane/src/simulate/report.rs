//! What a run came to.

use std::collections::BTreeMap;

use crate::accelerator::Policy;
use crate::accelerator::policy::{ITL_MS, TTFT_MS};

use super::engine::Engine;
use super::run::Run;

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

/// What requests are to meet, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Targets {
    /// To the first token.
    pub ttft: f64,
    /// Between tokens, on average over the answer.
    pub itl: f64,
}

impl Targets {
    /// Those of `policy`, or those that the picker takes without.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let seconds = |millis: Option<u32>, usual| f64::from(millis.unwrap_or(usual)) / 1e3;
        Self { ttft: seconds(policy.ttft_ms, TTFT_MS), itl: seconds(policy.itl_ms, ITL_MS) }
    }
}

/// What became of one request. Times are since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    pub(super) engine: usize,
    pub(super) first: f64,
    pub(super) end: f64,
    /// Prompt tokens that were not in the cache.
    pub(super) computed: u32,
    pub(super) refused: bool,
    /// How often it ended: once.
    pub(super) ends: u32,
}

/// What the endpoints of one class did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Class {
    /// Endpoints.
    pub endpoints: usize,
    /// Requests after the warm-up.
    pub requests: usize,
    /// Share of the time in which they had anything to do.
    pub busy: f64,
    /// Share of their slots that ran requests, on average.
    pub slots: f64,
    /// Dollars of the time in which they had anything to do.
    pub dollars: f64,
}

/// What became of requests of one priority that arrived after the warm-up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Band {
    /// Arrival to end.
    pub total: Quantiles,
    /// Answered, by tenant.
    pub answered: BTreeMap<u64, usize>,
    /// Refused, or let go after they had waited.
    pub refused: usize,
}

/// Times of the requests that arrived after the warm-up, and what endpoints did in all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Arrival to first token.
    pub ttft: Quantiles,
    /// Arrival to end.
    pub total: Quantiles,
    /// Between tokens, one average per request.
    pub itl: Quantiles,
    /// Requests by engine.
    pub picks: Vec<usize>,
    /// Requests that arrived after the warm-up and ended.
    pub ended: usize,
    /// Those that no endpoint, or not the chosen one, could hold.
    pub refused: usize,
    /// Those that met all targets.
    pub met: usize,
    /// Tokens of all requests: prompt, of it cached, answer.
    pub tokens: [u64; 3],
    /// Seconds from the start to the last end.
    pub seconds: f64,
    /// Seconds from the end of the warm-up to the last arrival.
    pub span: f64,
    /// By class.
    pub classes: BTreeMap<String, Class>,
    /// Every endpoint has a price.
    pub priced: bool,
    /// By priority.
    pub bands: BTreeMap<i32, Band>,
}

impl Report {
    pub(super) fn of(run: &Run<'_>, engines: &[Engine], served: &[Served]) -> Self {
        let mut report = Self { picks: vec![0; engines.len()], priced: true, ..Self::default() };
        let (mut ttft, mut total, mut itl) = (Vec::new(), Vec::new(), Vec::new());
        let mut by_band = BTreeMap::<i32, Vec<f64>>::new();
        for (request, served) in run.requests.iter().zip(served) {
            let counts = request.at >= run.warm_up;
            if served.refused {
                report.refused += usize::from(counts);
                report.bands.entry(request.priority).or_default().refused += usize::from(counts);
                continue;
            }
            debug_assert_eq!(served.ends, 1, "requests end exactly once");
            let tokens = [request.prompt(), request.prompt() - served.computed, request.output()];
            report.tokens.iter_mut().zip(tokens).for_each(|(sum, tokens)| *sum += u64::from(tokens));
            report.seconds = report.seconds.max(served.end);
            if !counts {
                continue;
            }
            let (first, end) = (served.first - request.at, served.end - request.at);
            let between = (end - first) / f64::from(request.output().saturating_sub(1).max(1));
            ttft.push(first);
            total.push(end);
            itl.push(between);
            by_band.entry(request.priority).or_default().push(end);
            *report.bands.entry(request.priority).or_default().answered.entry(request.tenant).or_default() +=
                1;
            report.ended += 1;
            report.met += usize::from(first <= run.targets.ttft && between <= run.targets.itl);
            report.span = request.at - run.warm_up;
            report.picks[served.engine] += 1;
        }
        report.ttft = Quantiles::of(ttft);
        report.total = Quantiles::of(total);
        report.itl = Quantiles::of(itl);
        for (priority, totals) in by_band {
            report.bands.entry(priority).or_default().total = Quantiles::of(totals);
        }
        report.by_class(run, engines);
        report
    }

    fn by_class(&mut self, run: &Run<'_>, engines: &[Engine]) {
        for (index, engine) in engines.iter().enumerate() {
            let (usage, slots) = (engine.usage(), engine.speeds().slots as f64);
            let class = self.classes.entry(run.fleet.class(index).to_owned()).or_default();
            class.endpoints += 1;
            class.requests += self.picks[index];
            class.busy += usage.busy / self.seconds.max(1e-9);
            class.slots += usage.running / slots / self.seconds.max(1e-9);
            match run.fleet.price(index) {
                Some(price) => class.dollars += price * usage.busy / 3_600.0,
                None => self.priced = false,
            }
        }
        for class in self.classes.values_mut() {
            class.busy /= class.endpoints as f64;
            class.slots /= class.endpoints as f64;
        }
    }

    /// Requests per second that met all targets.
    #[must_use]
    pub fn goodput(&self) -> f64 {
        self.met as f64 / self.span.max(1e-9)
    }

    /// Share of requests that met all targets; those that were refused did not.
    #[must_use]
    pub fn attained(&self) -> f64 {
        self.met as f64 / ((self.ended + self.refused) as f64).max(1.0)
    }

    /// Share of prompt tokens that were in a cache.
    #[must_use]
    pub fn hits(&self) -> f64 {
        self.tokens[1] as f64 / (self.tokens[0] as f64).max(1.0)
    }

    /// Tokens of answers per second, from the start to the last end.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.tokens[2] as f64 / self.seconds.max(1e-9)
    }

    /// Dollars per million tokens, prompts and answers, for the time in which endpoints had anything to do.
    #[must_use]
    pub fn dollars_per_million(&self) -> Option<f64> {
        let dollars: f64 = self.classes.values().map(|class| class.dollars).sum();
        let tokens = (self.tokens[0] + self.tokens[2]) as f64 / 1e6;
        self.priced.then(|| dollars / tokens.max(1e-9))
    }
}
