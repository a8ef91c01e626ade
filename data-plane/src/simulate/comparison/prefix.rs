//! 150 tenants, each with a beginning of 6,000 tokens that all its prompts share.

use super::super::{Fleet, Piece, Policy, Report, Request, Run, Seeds, Speeds, run};
use super::{Line, Mean};

const TENANTS: u64 = 150;
const PREFIX: u32 = 6_000;
const SEEDS: u64 = 3;
const COUNT: u64 = 3_000;
/// Per second, on eight endpoints: computed in full, prompts alone take twice the time there is.
const RATE: f64 = 8.0;
/// All beginnings together are 70 % of all caches.
const KV: u64 = 160_000;

pub(super) fn lines() -> Vec<Line> {
    let fleet = fleet();
    let (mut hits, mut load_hits, mut prefix_hits) = (Mean::default(), Mean::default(), Mean::default());
    let [mut load_ttft, mut load_tokens, mut prefix_ttft, mut prefix_tokens] = [Mean::default(); 4];
    for seed in 1..=SEEDS {
        let requests = requests(seed);
        let play = |policy| run(&Run::new(&fleet, &requests, policy, seed));
        let ours = play(Policy::Ours(Seeds::Table));
        let (load, prefix) = (play(Policy::LeastRequest), play(Policy::PrefixOnly));
        hits.add(ours.hits());
        load_hits.add(load.hits());
        prefix_hits.add(prefix.hits());
        let ttft = |other: &Report| ours.ttft.p90 / other.ttft.p90;
        load_ttft.add(ttft(&load));
        prefix_ttft.add(ttft(&prefix));
        load_tokens.add(ours.throughput() / load.throughput());
        prefix_tokens.add(ours.throughput() / prefix.throughput());
    }
    let bed = format!(
        "{TENANTS} tenants with {PREFIX} tokens in common and questions of about 1200, answers of about 200, {RATE} \
         requests/s on 8 equal endpoints whose caches together hold 1.4 times what is common; {COUNT} requests, {SEEDS} seeds"
    );
    let over = |what: &str, other: &str| format!("{what}, ours over {other}; {bed}");
    vec![
        Line::new(
            "prefix_hit_share",
            hits.get(),
            format!("prompt tokens that were in a cache, beside least requests; {bed}"),
        )
        .beside(load_hits.get()),
        Line::new(
            "prefix_ttft_p90_over_load_only",
            load_ttft.get(),
            over("p90 to the first token", "least requests"),
        ),
        Line::new(
            "prefix_ttft_p90_over_prefix_only",
            prefix_ttft.get(),
            over("p90 to the first token", "the longest prefix"),
        ),
        Line::new(
            "prefix_throughput_over_load_only",
            load_tokens.get(),
            over("tokens of answers per second", "least requests"),
        ),
        Line::new(
            "prefix_throughput_over_prefix_only",
            prefix_tokens.get(),
            over("tokens of answers per second", "the longest prefix"),
        ),
    ]
}

/// Eight equal endpoints.
pub(super) fn fleet() -> Fleet {
    Fleet::of(&[("nvidia-h100-80gb", Speeds { kv: KV, ..Speeds::H100 }); 8], &[])
}

pub(super) fn requests(seed: u64) -> Vec<Request> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut at = 0.0;
    let mut request = |id: u64| {
        at -= (1.0 - rng.f64()).ln() / RATE;
        let tenant = Piece::after(None, rng.u64(..TENANTS), PREFIX);
        let question = Piece::after(Some(&tenant), TENANTS + id, rng.u32(600..1_800));
        Request::new(at, vec![tenant, question], id, rng.u32(100..300))
    };
    (0..COUNT).map(&mut request).collect()
}
