//! What optimizing for cost saves.

use super::super::{Fleet, Policy, Run, Seeds, Shape, capacity, run, trace};
use super::{Line, Mean};

const LOADS: [f64; 3] = [0.2, 0.4, 0.6];
const SEEDS: u64 = 3;
/// Dollars per hour. Of the size that clouds ask; only the ratios matter.
const PRICES: &str = "h100=4.1,a100=2.2,l40s=1.0";

pub(super) fn lines() -> Vec<Line> {
    let fleet = |optimize| {
        let members: Vec<_> = Fleet::THREE.into_iter().chain(Fleet::THREE).collect();
        let targets = ("ttft-target", "2s");
        Fleet::of(&members, &[("optimize", optimize), ("accelerator-prices", PRICES), targets])
    };
    let (cost, latency) = (fleet("cost"), fleet("latency"));
    let (mut dollars, mut missed, mut runs) = (Mean::default(), 0.0, 0.0);
    let full = capacity(&cost, Shape::AzureConversation);
    for load in LOADS {
        for seed in 1..=SEEDS {
            let requests = trace(Shape::AzureConversation, full * load, 2_000, seed);
            let play = |fleet| {
                run(&Run { warm_up: 60.0, ..Run::new(fleet, &requests, Policy::Ours(Seeds::Table), seed) })
            };
            let (cost, latency) = (play(&cost), play(&latency));
            let price = |report: &super::super::Report| report.dollars_per_million().expect("all are priced");
            dollars.add(price(&cost) / price(&latency));
            missed += (latency.attained() - cost.attained()) * 100.0;
            runs += 1.0;
        }
    }
    let bed = format!(
        "two H100, A100 and L40S each ({PRICES} dollars an hour), Azure conversation shape at 20, 40 and 60 % load, 2 s to the \
         first token and 100 ms between tokens; {SEEDS} seeds"
    );
    vec![
        Line::new(
            "cost_dollars_ratio",
            dollars.get(),
            format!("dollars per million tokens for busy time, optimize=cost over optimize=latency; {bed}"),
        ),
        Line::new(
            "cost_missed_points",
            missed / runs,
            "percentage points of requests that met their targets with latency and not with cost; the same runs",
        ),
    ]
}
