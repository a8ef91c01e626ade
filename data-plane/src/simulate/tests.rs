use proptest::prelude::*;

use super::*;

fn play(shape: Shape, load: f64, count: usize, policy: Policy, first_bytes: bool) -> Report {
    let fleet = Fleet::three();
    let requests = trace(shape, capacity(&fleet, shape) * load, count, 1);
    run(&Run { warm_up: 60.0, first_bytes, ..Run::new(&fleet, &requests, policy, 1) })
}

#[test]
fn runs_are_a_function_of_their_seed() {
    for policy in [Policy::Random, Policy::ScorerSum, Policy::Ours(Seeds::Wrong)] {
        let report = || play(Shape::AzureConversation, 0.6, 400, policy, true);
        assert_eq!(report(), report(), "{policy:?}");
    }
}

/// One request at a time takes what the constants say.
#[test]
fn an_idle_engine_takes_its_constants() {
    let requests = [Request::new(1.0, vec![Piece::after(None, 0, 1_000)], 0, 101)];
    let fleet = Fleet::of(&[("nvidia-h100-80gb", Speeds::H100)], &[]);
    let report = run(&Run::new(&fleet, &requests, Policy::Random, 1));
    assert!((report.ttft.p50 - 0.280).abs() < 1e-6, "{report:?}");
    assert!((report.total.p50 - 0.280 - 1.2).abs() < 1e-6, "{report:?}");
}

#[test]
fn traces_follow_their_shapes() {
    for (shape, prompt, output) in
        [(Shape::AzureConversation, 1_020, 129), (Shape::AzureCode, 1_469, 13), (Shape::Mooncake, 6_909, 350)]
    {
        let requests = trace(shape, 5.0, 8_000, 7);
        let median = |of: fn(&Request) -> u32| {
            let mut values: Vec<u32> = requests.iter().map(of).collect();
            values.sort_unstable();
            f64::from(values[values.len() / 2])
        };
        assert!((median(Request::prompt) / f64::from(prompt) - 1.0).abs() < 0.05, "{shape:?}");
        assert!((median(Request::output) / f64::from(output) - 1.0).abs() < 0.12, "{shape:?}");
        let rate = 8_000.0 / requests.last().unwrap().at;
        assert!((rate / 5.0 - 1.0).abs() < 0.12, "{shape:?}: {rate}");
        assert!(requests.windows(2).all(|pair| pair[0].at <= pair[1].at));
        assert!(requests.iter().all(|r| r.pieces.iter().all(|p| p.tokens > 0) && r.output() > 0));
    }
    let shared = trace(Shape::Mooncake, 5.0, 8_000, 7).iter().filter(|r| r.pieces.len() > 1).count();
    assert!(shared > 2_000, "{shared} of 8000 continue a session");
}

/// The scorer sum is the default of llm-d-router. Medians may tie near saturation; tails never lose.
#[test]
fn faster_than_the_scorer_sum_from_the_table_s_seeds() {
    for shape in Shape::ALL {
        for load in [0.3, 0.5, 0.8] {
            let ours = play(shape, load, 1_200, Policy::Ours(Seeds::Table), true);
            let sum = play(shape, load, 1_200, Policy::ScorerSum, true);
            let ratios = [ours.ttft.over(&sum.ttft), ours.total.over(&sum.total)].concat();
            assert!(ratios.iter().all(|ratio| *ratio < 1.12), "{shape:?} at {load}: {ratios:.2?}");
            let mean = ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / 6.0;
            assert!(mean.exp() < 0.92, "{shape:?} at {load}: {ratios:.2?}");
        }
    }
}

/// After a minute, seeds that were wrong by four both ways cost at most a tenth, whether first bytes are first tokens or
/// response headers ahead of them.
#[test]
fn wrong_seeds_are_learned_within_a_minute() {
    for (seeds, first_bytes) in [(Seeds::Wrong, true), (Seeds::Wrong, false), (Seeds::Table, false)] {
        let ours = play(Shape::AzureConversation, 0.5, 1_500, Policy::Ours(seeds), first_bytes);
        let known = play(Shape::AzureConversation, 0.5, 1_500, Policy::Known, first_bytes);
        let ratios = [ours.ttft.over(&known.ttft), ours.total.over(&known.total)].concat();
        assert!(ratios.iter().all(|ratio| *ratio < 1.1), "{seeds:?} {first_bytes}: {ratios:.2?}");
    }
}

/// The fastest engine becomes as slow as the slowest: traffic moves away from it.
#[test]
fn an_engine_that_slows_down_loses_its_traffic() {
    let requests = trace(Shape::AzureConversation, 1.2, 1_200, 3);
    let fleet = Fleet::three();
    let bed = |change| {
        let usual = Run::new(&fleet, &requests, Policy::Ours(Seeds::Right), 1);
        run(&Run { warm_up: 400.0, change, ..usual })
    };
    let (before, after) = (bed(None), bed(Some((300.0, 0, Speeds::L40S))));
    let share = |report: &Report| report.picks[0] as f64 / report.picks.iter().sum::<usize>() as f64;
    assert!(share(&before) > 0.6, "{before:?}");
    assert!(share(&after) < 0.35, "{after:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Every request ends once, or is refused because its endpoint cannot hold it; caches, slots and bursts or not.
    #[test]
    fn no_request_is_lost(
        requests in prop::collection::vec((0_u32..4_000, 0_u64..6, 1_u32..90_000, 1_u32..300), 1..60),
        seed in any::<u64>(),
        policy in 0_usize..8,
    ) {
        let policy = [
            Policy::Random,
            Policy::RoundRobin,
            Policy::LeastRequest,
            Policy::PrefixOnly,
            Policy::ScorerSum,
            Policy::Ours(Seeds::Wrong),
            Policy::Known,
            Policy::Clairvoyant,
        ][policy];
        let mut at: Vec<u32> = requests.iter().map(|(at, ..)| *at).collect();
        at.sort_unstable();
        let request = |((id, at), (_, tenant, prompt, output)): ((u64, &u32), &(u32, u64, u32, u32))| {
            let common = Piece::after(None, *tenant, 500);
            let own = Piece::after(Some(&common), 100 + id, *prompt);
            Request::new(f64::from(*at) / 1e3, vec![common, own], id, *output)
        };
        let requests: Vec<Request> = (0..).zip(&at).zip(&requests).map(request).collect();
        let small = |speeds| Speeds { kv: 60_000, slots: 3, ..speeds };
        let fleet = Fleet::of(&[("nvidia-h100-80gb", small(Speeds::H100)), ("nvidia-l4", small(Speeds::L40S))], &[]);
        let report = run(&Run::new(&fleet, &requests, policy, seed));
        let too_large = requests.iter().filter(|r| r.prompt() + r.output() > 60_000).count();
        prop_assert_eq!(report.ended + report.refused, requests.len());
        prop_assert!(report.refused >= too_large);
        prop_assert_eq!(report.picks.iter().sum::<usize>(), report.ended);
        prop_assert!(report.classes.values().all(|class| class.busy <= 1.0 + 1e-9 && class.slots <= 1.0 + 1e-9));
    }
}
