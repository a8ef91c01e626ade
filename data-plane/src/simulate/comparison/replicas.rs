//! Two pickers of one pool, who tell each other what they do, beside one.

use super::super::{Fleet, Pickers, Policy, Report, Request, Run, Seeds, Shape, capacity, run, trace};
use super::burst::{BURST, EQUAL, unevenness};
use super::{Line, Mean, prefix};

/// What they know of each other is this old at most, in seconds.
const EXCHANGE: f64 = 0.05;
const LOADS: [f64; 3] = [0.50, 0.80, 0.95];
const SEEDS: u64 = 3;
const COUNT: usize = 2_000;

const TWO: Pickers = Pickers { count: 2, exchange: Some(EXCHANGE) };
const SILENT: Pickers = Pickers { count: 2, exchange: None };

/// Two that exchange over one, and two that do not.
#[derive(Clone, Copy, Default)]
struct Ratio {
    exchanging: Mean,
    silent: Mean,
}

impl Ratio {
    fn add(&mut self, [one, two, silent]: &[Report; 3], of: fn(&Report) -> f64) {
        self.exchanging.add(of(two) / of(one));
        self.silent.add(of(silent) / of(one));
    }

    fn line(&self, name: &'static str, how: String) -> Line {
        Line::new(name, self.exchanging.get(), how).beside(self.silent.get())
    }
}

pub(super) fn lines() -> Vec<Line> {
    [mixed(), shared(), vec![burst()]].concat()
}

fn play(fleet: &Fleet, requests: &[Request], warm_up: f64, seed: u64) -> [Report; 3] {
    [Pickers::ONE, TWO, SILENT].map(|pickers| {
        let usual = Run::new(fleet, requests, Policy::Ours(Seeds::Table), seed);
        run(&Run { pickers, warm_up, ..usual })
    })
}

fn mixed() -> Vec<Line> {
    let fleet = Fleet::three();
    let [mut e2e, mut e2e_tail, mut ttft_tail] = [Ratio::default(); 3];
    for shape in Shape::ALL {
        let full = capacity(&fleet, shape);
        for load in LOADS {
            for seed in 1..=SEEDS {
                let requests = trace(shape, full * load, COUNT, seed);
                let reports = play(&fleet, &requests, 60.0, seed);
                e2e.add(&reports, |report| report.total.p50);
                e2e_tail.add(&reports, |report| report.total.p90);
                ttft_tail.add(&reports, |report| report.ttft.p90);
            }
        }
    }
    let how = |what: &str| {
        format!(
            "{what}: two pickers who know of each other what is {:.0} ms old at most over one, beside two who tell each other \
             nothing; H100, A100 and L40S, four shapes at 50, 80 and 95 % load, {COUNT} requests, {SEEDS} seeds, the first \
             minute left out",
            EXCHANGE * 1e3
        )
    };
    vec![
        e2e.line("replicas_2_e2e_p50_ratio", how("median to the end")),
        e2e_tail.line("replicas_2_e2e_p90_ratio", how("p90 to the end")),
        ttft_tail.line("replicas_2_ttft_p90_ratio", how("p90 to the first token")),
    ]
}

fn shared() -> Vec<Line> {
    let fleet = prefix::fleet();
    let [mut hits, mut ttft, mut ttft_tail] = [Ratio::default(); 3];
    for seed in 1..=SEEDS {
        let reports = play(&fleet, &prefix::requests(seed), 0.0, seed);
        hits.add(&reports, Report::hits);
        ttft.add(&reports, |report| report.ttft.p50);
        ttft_tail.add(&reports, |report| report.ttft.p90);
    }
    let how = |what: &str| {
        format!("{what}: two pickers over one, as above; the workload of prefix_hit_share, {SEEDS} seeds")
    };
    vec![
        hits.line("replicas_2_hit_rate_ratio", how("prompt tokens that were in a cache")),
        ttft.line("replicas_2_prefix_ttft_p50_ratio", how("median to the first token")),
        ttft_tail.line("replicas_2_prefix_ttft_p90_ratio", how("p90 to the first token")),
    ]
}

fn burst() -> Line {
    let of = |pickers, seed| unevenness(Policy::Ours(Seeds::Table), pickers, seed);
    let worst = |pickers| (1..=2 * SEEDS).map(|seed| of(pickers, seed)).fold(0.0, f64::max);
    let how = format!(
        "requests at the endpoint with most of them over the mean, {BURST} at one moment to two pickers, on {EQUAL} equal \
         endpoints, beside one picker; worst of {} seeds",
        2 * SEEDS
    );
    Line::new("replicas_2_burst_max_over_mean", worst(TWO), how).beside(worst(Pickers::ONE))
}
