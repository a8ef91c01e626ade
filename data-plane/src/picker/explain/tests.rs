use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::tests::{mk_class, mk_endpoint, mk_pool, not_ready};
use super::super::{Refusal, pick, pick_explained};
use super::*;
use crate::pool::{Adapters, Reading};

fn rng(seed: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed)
}

fn ask(prompt_tokens: u32) -> Ask<'static> {
    Ask { model: "llama", prompt_tokens, ..Ask::default() }
}

/// Whatever is picked is explained as it was compared: by the same numbers, although the load changes between picks.
#[test]
fn the_explained_pick_is_the_one_that_was_made() {
    let now = Instant::now();
    let classes = ["nvidia-t4", "nvidia-h100-80gb", "nvidia-l40s", "nvidia-a100-80gb", "nvidia-l4"];
    let pool = mk_pool(now, (1..).zip(classes).map(|(host, class)| mk_class(host, class)).collect());
    let mut held = Vec::new();
    let mut hows = std::collections::BTreeSet::new();
    for seed in 0..400 {
        let at = now + Duration::from_millis(seed * 3);
        let mut explanation = Explanation::of(Want::All);
        let picked = pick_explained(&pool, &ask(300), at, &mut rng(seed), &mut explanation).unwrap();
        let Explanation { endpoints, how, .. } = explanation;
        let chosen = endpoints.iter().find(|one| one.address == picked.endpoints[0]).unwrap();
        assert_eq!(Duration::from_secs_f32(chosen.parts.ttft()), picked.expected_ttft);
        assert_eq!(chosen.cached_tokens, picked.cached_tokens);
        assert_eq!(chosen.load.own + 1, pool.slot(chosen.address).unwrap().in_flight());
        let near = endpoints.iter().filter(|one| one.near).count();
        let how = how.unwrap();
        match how {
            How::Least => assert!(near == 1 && chosen.address == endpoints[0].address),
            How::NearTie(of) => assert!(near == of && of > 1 && chosen.near),
            How::Trial => assert!(!chosen.near),
        }
        hows.insert(std::mem::discriminant(&how) == std::mem::discriminant(&How::Least));
        let others: Vec<_> =
            endpoints.iter().map(|one| one.address).filter(|a| *a != chosen.address).collect();
        assert_eq!(picked.endpoints[1..], others[..3], "fallbacks are the next best");
        held.push(picked);
    }
    assert_eq!(hows.len(), 2, "both came up");
}

#[test]
fn refusals_are_explained_by_their_verdicts() {
    let now = Instant::now();
    let mut small = mk_endpoint(1);
    small.context = 100;
    let pool = mk_pool(now, vec![small, not_ready(2)]);
    for (want, endpoints) in [(Want::Nothing, 0), (Want::Refusals, 2), (Want::All, 2)] {
        let mut explanation = Explanation::of(want);
        let refused = pick_explained(&pool, &ask(500), now, &mut rng(1), &mut explanation).unwrap_err();
        assert!(matches!(refused, Refusal::DoesNotFit { .. }));
        assert_eq!(explanation.endpoints.len(), endpoints);
        assert!(explanation.how.is_none());
        if let [first, second] = &explanation.endpoints[..] {
            assert_eq!((first.verdict, second.verdict), (Verdict::Draining, Verdict::DoesNotFit));
        }
    }
    let mut explanation = Explanation::of(Want::Refusals);
    drop(pick_explained(&pool, &ask(50), now, &mut rng(1), &mut explanation).unwrap());
    assert!(explanation.endpoints.is_empty(), "it was not refused");
}

#[test]
fn ages_and_adapters_are_told() {
    let now = Instant::now();
    let pool = mk_pool(now, vec![mk_endpoint(1), mk_endpoint(2)]);
    let address = pool.snapshot().endpoints[0].address();
    let adapters = Some(Adapters { max: 2, running: vec![Adapters::hash(b"llama")], waiting: vec![] });
    let slot: Arc<Slot> = pool.slot(address).unwrap();
    slot.store(Reading { adapters, ..Reading::default() }, now + Duration::from_secs(1));
    let told = explain(&pool, &ask(10), now + Duration::from_secs(4)).endpoints;
    let of = |wanted: bool| told.iter().find(|one| (one.address == address) == wanted).unwrap();
    assert_eq!(of(true).age, Some(Duration::from_secs(3)));
    assert_eq!(of(true).freshness, Freshness::Stale(Duration::from_secs(3)));
    assert_eq!((of(false).age, of(false).freshness), (None, Freshness::Never));
    assert_eq!(of(true).parts.adapter, 0.0);
    assert!(of(false).parts.adapter > 0.0);
    let pick = pick(&pool, &ask(10), now, &mut rng(1)).unwrap();
    assert_eq!(pick.endpoints[0], address);
}

#[test]
fn tiers_are_told_as_what_they_stand_for() {
    let now = Instant::now();
    let pool = mk_pool(now, vec![mk_class(1, "nvidia-l4"), mk_class(2, "nvidia-h100-80gb")]);
    let policy = crate::accelerator::Policy {
        preferred: "l4,h100".to_owned(),
        prices: vec![("l4".to_owned(), 0.8), ("h100".to_owned(), 4.1)],
        ..Default::default()
    };
    let ask = Ask { policy: Some(&policy), priority: -1, ..ask(10) };
    let told = explain(&pool, &ask, now);
    let tiers: Vec<Tier> = told.endpoints.iter().map(|one| one.tier).collect();
    assert_eq!(tiers[0], Tier { misses: false, place: 0, dollars: 0.8 });
    assert_eq!(tiers[1], Tier { misses: false, place: 1, dollars: 4.1 });
    assert_eq!(told.aimed.unwrap().preferred, "l4,h100");
}
