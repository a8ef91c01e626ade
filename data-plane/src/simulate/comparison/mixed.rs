//! Three speeds in one pool, on the shapes of four published traces, at four loads.
//!
//! What can be gained over the scorer sum here, at half load, is bounded by two things:
//!
//! - It is not blind on this fleet. KV use is a share of the cache, and the L40S's cache is 0.4 of the others', so keeping
//!   shares even sends it 0.51 : 0.35 : 0.14 of the requests, nearly as the engines' capacities are. Where all caches have
//!   one size, or shares are not told, it sends equal numbers, as it did where 0.64 was measured.
//! - More on the H100 means longer times there. A uniform request takes 0.23 s + 1.2 s on an idle one, which is 0.67 of the
//!   scorer sum's median already. With the share s of 3.3 requests a second, prompts take ρ = 0.76 s of its time; they wait
//!   0.13 s · ρ/(1 − ρ) for each other, and stretch decoding by 1/(1 − 0.3 ρ), beside 1 + (N − 1)/30 for the N that decode.
//!   The median of all is the 0.5/s quantile of its times: s near 0.5 takes the slowest of them, s = 0.75 makes all of them
//!   1.98 s. In between it stays at about 2.0 s, 0.94 of the scorer sum.
//!
//! Played on all shapes, geometric means of medians over the scorer sum's: the best fixed split (0.60 : 0.30 : 0.10) 1.07; an
//! oracle of states and lengths that ends each request first 0.97, and one that also counts what others lose 0.94; what the
//! picker does 0.89; other weights of decoding (0.08 to 1), crowding and burden 0.89 to 0.93. Each request alone on the
//! fastest endpoint: 0.45, of which the bursts of two shapes are most.
//!
//! Near saturation the worst percentile is the median to the end: who serves all alike takes from the tail (p99 0.6 to 0.8
//! of the scorer sum's) what the median pays (1.00 to 1.03), because the work is the same.

use super::super::{Engine, Fleet, Policy, Report, Request, Run, Seeds, Shape, capacity, run, trace};
use super::{Line, Mean};

const LOADS: [f64; 4] = [0.30, 0.50, 0.80, 0.95];
/// The p99 of a shape with bursts is that of each seed's largest one: few seeds leave it some percent off.
const SEEDS: u64 = 16;
const COUNT: usize = 2_000;
/// Seconds after which learning is expected to be done.
const LEARNING: f64 = 60.0;

/// Ratios of the six percentiles at one shape and load.
struct Cell {
    load: f64,
    /// Ours over the scorer sum.
    sum: [Mean; 6],
    /// Knowing the speeds over the scorer sum.
    known: [Mean; 6],
    /// Ours, from seeds that are wrong by four both ways, over knowing the speeds.
    learned: [Mean; 6],
    /// Each request alone on the fastest endpoint, over the scorer sum: median to the end.
    alone: Mean,
    /// The oracle over the scorer sum: median to the end.
    oracle: Mean,
}

pub(super) fn lines() -> Vec<Line> {
    let fleet = Fleet::three();
    let mut cells = Vec::new();
    for shape in Shape::ALL {
        let full = capacity(&fleet, shape);
        cells.extend(LOADS.map(|load| cell(&fleet, shape, full * load, load)));
    }
    let half = |of: fn(&Cell) -> Mean| {
        let mut mean = Mean::default();
        cells.iter().filter(|cell| cell.load == 0.50).for_each(|cell| mean.add(of(cell).get()));
        mean.get()
    };
    let worst =
        |of: fn(&Cell) -> [Mean; 6]| cells.iter().flat_map(of).map(|mean| mean.get()).fold(0.0, f64::max);
    let bed = format!(
        "H100, A100 and L40S with the constants of a public simulator, 8 slots each; uniform, Azure conversation, Azure \
         code and Mooncake shapes, {COUNT} requests, {SEEDS} seeds, the first minute left out"
    );
    vec![
        Line::new(
            "mixed_e2e_p50_ratio_50",
            half(|cell| cell.sum[3]),
            format!("median to the end, ours over the scorer sum, at 50 % load, mean of shapes; {bed}"),
        )
        .beside(half(|cell| cell.oracle)),
        Line::new(
            "mixed_e2e_p50_bound_50",
            half(|cell| cell.alone),
            "the same if each request had the fastest endpoint for itself: no policy gets below",
        ),
        Line::new(
            "mixed_worst_percentile_ratio",
            worst(|cell| cell.sum),
            format!(
                "ours over the scorer sum: the worst of p50, p90 and p99 to the first token and to the end, of all shapes, at \
                 30, 50, 80 and 95 % load; {bed}"
            ),
        )
        .beside(worst(|cell| cell.known)),
        Line::new(
            "oracle_ratio_after_60s",
            worst(|cell| cell.learned),
            "ours, from speeds that are wrong by four both ways, over ours with the true speeds: the worst of the same",
        ),
    ]
}

fn cell(fleet: &Fleet, shape: Shape, rate: f64, load: f64) -> Cell {
    let empty = [Mean::default(); 6];
    let mut cell = Cell {
        load,
        sum: empty,
        known: empty,
        learned: empty,
        alone: Mean::default(),
        oracle: Mean::default(),
    };
    for seed in 1..=SEEDS {
        let requests = trace(shape, rate, COUNT, seed);
        let play = |policy| run(&Run { warm_up: LEARNING, ..Run::new(fleet, &requests, policy, seed) });
        let sum = play(Policy::ScorerSum);
        let known = play(Policy::Known);
        add(&mut cell.sum, &play(Policy::Ours(Seeds::Table)), &sum);
        add(&mut cell.known, &known, &sum);
        add(&mut cell.learned, &play(Policy::Ours(Seeds::Wrong)), &known);
        if load == 0.50 {
            cell.alone.add(alone(fleet, &requests) / sum.total.p50);
            cell.oracle.add(play(Policy::Clairvoyant).total.p50 / sum.total.p50);
        }
    }
    cell
}

fn add(cell: &mut [Mean; 6], one: &Report, other: &Report) {
    let ratios = [one.ttft.over(&other.ttft), one.total.over(&other.total)].concat();
    cell.iter_mut().zip(ratios).for_each(|(mean, ratio)| mean.add(ratio));
}

/// Median to the end when each request finds the fastest endpoint idle, and what it shares with others in the cache.
fn alone(fleet: &Fleet, requests: &[Request]) -> f64 {
    let counted = requests.iter().filter(|request| request.at >= LEARNING);
    let fastest = |request: &Request| {
        let times = fleet.speeds().iter().map(|speeds| Engine::new(*speeds).alone(request));
        times.fold(f64::INFINITY, f64::min)
    };
    let mut times: Vec<f64> = counted.map(fastest).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
