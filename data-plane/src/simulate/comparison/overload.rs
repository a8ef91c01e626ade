//! Five times what a pool can do, three criticalities of twenty tenants each: the scenario of the figure that is measured
//! through a real Envoy, in virtual time.
//!
//! ```text
//! alone:     critical ─────────────────────────────▶ p99
//! overload:  critical (½ of what the pool can do) ─┐
//!            standard (1½, one tenant greedy) ─────┼─▶ p99 of critical, shares of standard's tenants, answers in all
//!            sheddable (3) ────────────────────────┘
//! ```

use super::super::{Fleet, Piece, Policy, Report, Request, Run, Seeds, Speeds, run};
use super::{Line, Mean};
use crate::flow::{Bounds, Fullness, Settings, Size};

const TENANTS: u64 = 20;
const PODS: usize = 4;
const SLOTS: usize = 32;
const TOKENS: u32 = 40;
const ITL: f64 = 0.05;
/// Requests a second that the pool can do.
const CAPACITY: f64 = (PODS * SLOTS) as f64 / (TOKENS as f64 * ITL);
/// The greedy tenant's share of what standard asks for.
const GREEDY: f64 = 0.4;
const SETTLING: f64 = 10.0;
const MEASURED: f64 = 60.0;
const SEEDS: u64 = 6;

/// Priority, share of what the pool can do, and the first tenant's share of that.
type Class = (i32, f64, f64);

const EVEN: f64 = 1.0 / TENANTS as f64;
const CRITICAL: Class = (100, 0.5, EVEN);
const STANDARD: Class = (0, 1.5, GREEDY);
const SHEDDABLE: Class = (-100, 3.0, EVEN);

pub(super) fn lines() -> Vec<Line> {
    let fleet = fleet();
    let [mut critical, mut jain, mut goodput] = [Mean::default(); 3];
    for seed in 1..=SEEDS {
        let alone = play(&fleet, &[CRITICAL], seed);
        let loaded = play(&fleet, &[CRITICAL, STANDARD, SHEDDABLE], seed);
        let p99 = |report: &Report| report.bands[&CRITICAL.0].total.p99;
        critical.add(p99(&loaded) / p99(&alone));
        jain.add(index(&loaded));
        goodput.add(loaded.ended as f64 / (CAPACITY * MEASURED));
    }
    let scene = format!(
        "{PODS} endpoints of {SLOTS} requests at a time and {:.0} ms a token, {TOKENS} tokens each; {TENANTS} tenants of each \
         criticality send 0.5, 1.5 and 3 times what these can do for {MEASURED} s; queue of 128, endpoint-queue 1; virtual \
         time, {SEEDS} seeds",
        ITL * 1e3
    );
    vec![
        Line::new(
            "overload_critical_p99_ratio",
            critical.get(),
            format!("p99 to the end of critical requests under overload over alone; {scene}"),
        ),
        Line::new(
            "overload_jain",
            jain.get(),
            format!(
                "Jain's index of answers to standard's tenants, of whom one sends {GREEDY} of all; the same runs"
            ),
        ),
        Line::new(
            "overload_answers_share",
            goodput.get(),
            "answers of all criticalities over what the endpoints can do; the same runs",
        ),
    ]
}

fn fleet() -> Fleet {
    let speeds = Speeds {
        overhead: 0.001,
        prefill: 0.000_01,
        itl: ITL,
        itl_per_request: 0.0,
        slots: SLOTS,
        kv: 400_000,
    };
    Fleet::of(&[("", speeds); PODS], &[])
}

fn play(fleet: &Fleet, classes: &[Class], seed: u64) -> Report {
    let requests = requests(classes, seed);
    let settings = Settings {
        fullness: Fullness { queue: 1, ..Settings::default().fullness },
        bounds: Bounds { total: Size { requests: 128, bytes: usize::MAX }, ..Settings::default().bounds },
        ..Settings::default()
    };
    let usual = Run::new(fleet, &requests, Policy::Ours(Seeds::Table), seed);
    run(&Run { gate: Some(settings), warm_up: SETTLING, ..usual })
}

/// Requests of all tenants of these classes, as Poisson processes, by time.
fn requests(classes: &[Class], seed: u64) -> Vec<Request> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut requests = Vec::new();
    for (priority, share, greedy) in classes {
        for tenant in 0..TENANTS {
            let others = (1.0 - greedy) / (TENANTS - 1) as f64;
            let rate = CAPACITY * share * if tenant == 0 { *greedy } else { others };
            let mut at = 0.0;
            loop {
                at -= (1.0 - rng.f64()).ln() / rate;
                if at > SETTLING + MEASURED {
                    break;
                }
                let id = requests.len() as u64;
                let request = Request::new(at, vec![Piece::after(None, id, 12)], id, TOKENS);
                requests.push(Request { priority: *priority, tenant, ..request });
            }
        }
    }
    requests.sort_by(|a, b| a.at.total_cmp(&b.at));
    requests
}

/// Jain's index of answers to the tenants of standard.
fn index(report: &Report) -> f64 {
    let answered = report.bands.get(&STANDARD.0).map(|band| &band.answered);
    let of = |tenant| answered.and_then(|answered| answered.get(&tenant)).map_or(0.0, |count| *count as f64);
    let (sum, squares) =
        (0..TENANTS).map(of).fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
    if squares > 0.0 { sum * sum / (squares * TENANTS as f64) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweep() {
        let only = std::env::var("ONLY").ok();
        let eq = |_: f64, _: &mut fastrand::Rng| TOKENS;
        let exp = |_: f64, rng: &mut fastrand::Rng| (-(1.0 - rng.f64()).ln() * 40.0).ceil().max(2.0) as u32;
        let two = |_: f64, rng: &mut fastrand::Rng| if rng.bool() { 16 } else { 64 };
        let doubles = |at: f64, _: &mut fastrand::Rng| if at < 30.0 { 20 } else { 40 };
        let halves = |at: f64, _: &mut fastrand::Rng| if at < 30.0 { 40 } else { 20 };
        let over = [CRITICAL, STANDARD, SHEDDABLE];
        let under = [(100, 0.2, EVEN), (0, 0.3, EVEN), (-100, 0.4, EVEN)];
        type Length = fn(f64, &mut fastrand::Rng) -> u32;
        let shapes: [(&str, Length, &[Class], Option<f64>, usize); 10] = [
            ("equal", eq, &over, None, SLOTS),
            ("exponential", exp, &over, None, SLOTS),
            ("two", two, &over, None, SLOTS),
            ("under", eq, &under, None, SLOTS),
            ("doubles", doubles, &over, None, SLOTS),
            ("halves", halves, &over, None, SLOTS),
            ("stepped", eq, &over, Some(0.047), SLOTS),
            ("stepexp", exp, &over, Some(0.047), SLOTS),
            ("small", eq, &over, None, 8),
            ("tiny", eq, &over, None, 3),
        ];
        for (name, length, classes, step, slots) in shapes {
            if only.as_ref().is_some_and(|only| !only.split(',').any(|o| o == name)) {
                continue;
            }
            let mut sum = [0.0; 9];
            let seeds: Vec<u64> =
                std::env::var("SEEDS").unwrap_or("3".into()).split(',').map(|s| s.parse().unwrap()).collect();
            for seed in &seeds {
                let alone = play_as(length, &classes[..1], *seed, step, slots);
                let loaded = play_as(length, classes, *seed, step, slots);
                let (a, l) = (&alone.bands[&100].total, &loaded.bands[&100].total);
                let low = |p: i32| loaded.bands.get(&p).map_or(0.0, |b| b.total.p99);
                let all = [
                    l.p50 / a.p50,
                    l.p90 / a.p90,
                    l.p99 / a.p99,
                    index(&loaded),
                    loaded.ended as f64 / (CAPACITY * slots as f64 / SLOTS as f64 * MEASURED),
                    low(0),
                    low(-100),
                    loaded.bands[&100].refused as f64,
                    loaded.bands.get(&0).map_or(0.0, |b| b.answered.values().sum::<usize>() as f64),
                ];
                for (s, v) in sum.iter_mut().zip(all) {
                    *s += v / seeds.len() as f64;
                }
            }
            println!(
                "{name:12} p50 {:.3} p90 {:.3} p99 {:.3} jain {:.3} answers {:.3} std99 {:.2} shed99 {:.2} critref {} std {}",
                sum[0], sum[1], sum[2], sum[3], sum[4], sum[5], sum[6], sum[7], sum[8]
            );
        }
    }

    fn play_as(
        length: fn(f64, &mut fastrand::Rng) -> u32,
        classes: &[Class],
        seed: u64,
        step: Option<f64>,
        slots: usize,
    ) -> Report {
        let speeds =
            Speeds { overhead: 0.001, prefill: 0.000_01, itl: ITL, itl_per_request: 0.0, slots, kv: 400_000 };
        let fleet = Fleet::of(&[("", speeds); PODS], &[]);
        let mut requests = requests(classes, seed);
        let mut rng = fastrand::Rng::with_seed(seed + 77);
        if slots != SLOTS {
            let keep = slots as f64 / SLOTS as f64;
            requests.retain(|_| rng.f64() < keep);
        }
        for request in &mut requests {
            request.answer.tokens = length(request.at, &mut rng);
        }
        let settings = Settings {
            fullness: Fullness { queue: 1, ..Settings::default().fullness },
            bounds: Bounds { total: Size { requests: 128, bytes: usize::MAX }, ..Settings::default().bounds },
            ..Settings::default()
        };
        let usual = Run::new(&fleet, &requests, Policy::Ours(Seeds::Table), seed);
        run(&Run { gate: Some(settings), warm_up: SETTLING, step, ..usual })
    }

    #[test]
    fn critical_requests_hardly_wait_and_little_is_lost() {
        let alone = play(&fleet(), &[CRITICAL], 3);
        let loaded = play(&fleet(), &[CRITICAL, STANDARD, SHEDDABLE], 3);
        let (before, critical) = (&alone.bands[&CRITICAL.0], &loaded.bands[&CRITICAL.0]);
        // Lower priorities fill the last places, and wait in engines too: the last percent waits behind them.
        assert!(critical.total.p90 < before.total.p90 * 1.8, "{critical:?} beside {before:?}");
        assert!(critical.total.p99 < before.total.p99 * 2.0, "{critical:?} beside {before:?}");
        assert_eq!((before.refused, critical.refused), (0, 0));
        assert!(index(&loaded) > 0.95, "{:?}", loaded.bands[&STANDARD.0]);
        assert!(loaded.ended as f64 > CAPACITY * MEASURED * 0.95, "{loaded:?}");
    }
}
