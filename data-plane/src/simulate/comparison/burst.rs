//! How requests spread: a burst on equal endpoints, and a steady load on unequal ones.

use super::super::{
    Fleet, Pickers, Piece, Policy, Report, Request, Run, Seeds, Shape, Speeds, capacity, run, trace,
};
use super::Line;

const SEEDS: u64 = 6;
pub(super) const BURST: usize = 64;
pub(super) const EQUAL: usize = 8;
const LOAD: f64 = 0.97;

pub(super) fn lines() -> Vec<Line> {
    let worst = |of: &dyn Fn(u64) -> f64| (1..=SEEDS).map(of).fold(0.0, f64::max);
    let burst = |policy| worst(&|seed| unevenness(policy, Pickers::ONE, seed));
    vec![
        Line::new(
            "burst_max_over_mean",
            burst(Policy::Ours(Seeds::Table)),
            format!("requests at the endpoint with most of them over the mean, {BURST} at one moment on {EQUAL} equal endpoints, worst of {SEEDS} seeds"),
        )
        .beside(burst(Policy::ScorerSum)),
        Line::new(
            "shares_deviation",
            worst(&deviation),
            format!("speeds 1:2:4 at {:.0} % load: how far the share of an endpoint is from a seventh, two and four, worst of {SEEDS} seeds", LOAD * 100.0),
        ),
    ]
}

pub(super) fn unevenness(policy: Policy, pickers: Pickers, seed: u64) -> f64 {
    let fleet = Fleet::of(&[("nvidia-h100-80gb", Speeds::H100); EQUAL], &[]);
    let mut rng = fastrand::Rng::with_seed(seed);
    let request = |id: u64| {
        let prompt = rng.u32(300..1_300);
        Request::new(1.0, vec![Piece::after(None, id, prompt)], id, 100)
    };
    let requests: Vec<Request> = (0..BURST as u64).map(request).collect();
    let report = run(&Run { pickers, ..Run::new(&fleet, &requests, policy, seed) });
    let most = report.picks.iter().max().copied().unwrap_or(0);
    most as f64 * EQUAL as f64 / BURST as f64
}

fn deviation(seed: u64) -> f64 {
    // Parts of one speed, so that all a request does takes a half and a quarter of the time.
    let of = |factor: f64| {
        let Speeds { overhead, prefill, itl, itl_per_request, slots, kv } = Speeds::L40S;
        let (overhead, prefill) = (overhead / factor, prefill / factor);
        Speeds { overhead, prefill, itl: itl / factor, itl_per_request: itl_per_request / factor, slots, kv }
    };
    let members = [("nvidia-l40s", of(1.0)), ("nvidia-a100-80gb", of(2.0)), ("nvidia-h100-80gb", of(4.0))];
    let fleet = Fleet::of(&members, &[]);
    let rate = capacity(&fleet, Shape::Uniform) * LOAD;
    let requests = trace(Shape::Uniform, rate, 4_000, seed);
    let Report { picks, ended, .. } =
        run(&Run { warm_up: 60.0, ..Run::new(&fleet, &requests, Policy::Ours(Seeds::Table), seed) });
    let ideal = [1.0, 2.0, 4.0].map(|speed| speed / 7.0 * ended as f64);
    let off = picks.iter().zip(ideal).map(|(picks, ideal)| (*picks as f64 / ideal - 1.0).abs());
    off.fold(0.0, f64::max)
}
