use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use super::explain::{Verdict, explain};
use super::*;
use crate::accelerator::{Calibration, Hardware, Profile, profile_of};
use crate::pool::{Adapters, Endpoint, Reading, Slot};

mod fleet;
mod policy;
mod prefix;

/// An endpoint before it has a slot.
pub(crate) struct MkEndpoint {
    address: SocketAddr,
    profile: Profile,
    class: &'static str,
    pub(crate) context: u32,
    ready: bool,
}

/// A ready H100 at 10.0.0.`host`:8000.
pub(crate) fn mk_endpoint(host: u8) -> MkEndpoint {
    mk_class(host, "nvidia-h100-80gb")
}

/// One that finishes what it has.
pub(crate) fn not_ready(host: u8) -> MkEndpoint {
    MkEndpoint { ready: false, ..mk_endpoint(host) }
}

pub(crate) fn mk_class(host: u8, class: &'static str) -> MkEndpoint {
    let profile = profile_of(Hardware { class, count: 1, memory_bytes: 0 });
    MkEndpoint { address: addr(host), profile, class, context: 0, ready: true }
}

pub(crate) fn mk_pool(epoch: Instant, endpoints: Vec<MkEndpoint>) -> Arc<Pool> {
    let endpoint = |MkEndpoint { address, profile, class, context, ready }: MkEndpoint| Endpoint {
        slot: Arc::new(Slot::new(address, epoch)),
        calibration: Arc::new(Calibration::fixed(profile)),
        ready,
        engine: String::new(),
        context_tokens: context,
        pod: String::new(),
        accelerator: class.to_owned(),
        labels: BTreeMap::new(),
    };
    Pool::of(Snapshot { endpoints: endpoints.into_iter().map(endpoint).collect(), ..Snapshot::default() })
}

fn addr(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 8000))
}

fn slot(pool: &Pool, host: u8) -> Arc<Slot> {
    pool.slot(addr(host)).unwrap()
}

fn ask(prompt_tokens: u32) -> Ask<'static> {
    Ask { model: "llama", prompt_tokens, ..Ask::default() }
}

fn rng(seed: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed)
}

/// The hosts chosen first by many picks that end at once.
fn choices(pool: &Arc<Pool>, ask: &Ask<'_>, now: Instant) -> Vec<u8> {
    let mut rng = rng(7);
    let mut hosts: Vec<u8> = (0..64)
        .map(|_| match pick(pool, ask, now, &mut rng).unwrap().endpoints[0].ip() {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(_) => unreachable!("hosts are IPv4"),
        })
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// Sends `count` requests that stay; answers their picks.
fn occupy(pool: &Arc<Pool>, host: u8, count: u32, now: Instant) -> Vec<Pick> {
    let subset = [SubsetEntry { ip: addr(host).ip(), port: None }];
    let ask = Ask { subset: Some(&subset), ..ask(500) };
    (0..count).map(|_| pick(pool, &ask, now, &mut rng(0)).unwrap()).collect()
}

#[test]
fn a_burst_spreads_over_equal_endpoints() {
    let now = Instant::now();
    for seed in 0..50 {
        for tokens in [0, 500] {
            let pool = mk_pool(now, (1..=8).map(mk_endpoint).collect());
            let mut rng = rng(seed);
            let held: Vec<Pick> =
                (0..64).map(|_| pick(&pool, &ask(tokens), now, &mut rng).unwrap()).collect();
            let most = (1..=8).map(|host| slot(&pool, host).in_flight()).max().unwrap();
            assert!(most <= 10, "seed {seed}: {most} of 64 on one of 8");
            drop(held);
        }
    }
}

/// The same with 64 threads that pick at the same moment.
#[test]
fn a_simultaneous_burst_spreads_too() {
    let now = Instant::now();
    for round in 0..20 {
        let pool = mk_pool(now, (1..=8).map(mk_endpoint).collect());
        let barrier = Barrier::new(64);
        let held: Vec<Pick> = std::thread::scope(|scope| {
            let pick_one = |seed: u64| {
                let (pool, barrier) = (&pool, &barrier);
                move || {
                    barrier.wait();
                    pick(pool, &ask(500), now, &mut rng(seed)).unwrap()
                }
            };
            let threads: Vec<_> = (0..64).map(|thread| scope.spawn(pick_one(round * 64 + thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let most = (1..=8).map(|host| slot(&pool, host).in_flight()).max().unwrap();
        assert!(most <= 10, "round {round}: {most} of 64 on one of 8");
        drop(held);
    }
}

#[test]
fn ties_are_not_always_broken_the_same_way() {
    let now = Instant::now();
    let pool = mk_pool(now, (1..=8).map(mk_endpoint).collect());
    // Prefill that was sent is waited for although the requests have ended, so time passes between the picks.
    let hosts: std::collections::BTreeSet<_> = (0..64)
        .map(|seed| {
            pick(&pool, &ask(100), now + Duration::from_secs(seed), &mut rng(seed)).unwrap().endpoints[0]
        })
        .collect();
    assert_eq!(hosts.len(), 8, "other pickers see the same numbers");
}

#[test]
fn an_idle_l4_and_a_busy_h100() {
    let now = Instant::now();
    let pool = mk_pool(now, vec![mk_class(1, "nvidia-h100-80gb"), mk_class(2, "nvidia-l4")]);
    let later = now + Duration::from_secs(30);
    assert_eq!(choices(&pool, &ask(500), now), [1], "both idle");
    let held = occupy(&pool, 1, 100, now);
    assert_eq!(
        choices(&pool, &ask(500), later),
        [1],
        "100 in a batch of 200 are still faster than an idle L4"
    );
    let more = occupy(&pool, 1, 500, now);
    assert_eq!(choices(&pool, &ask(500), later), [2], "hundreds wait at the H100");
    slot(&pool, 2).store(Reading { kv_tokens: Some(15_000), ..Reading::default() }, later);
    assert_eq!(choices(&pool, &ask(20_000), later), [1], "the L4 cannot hold the prompt, whoever waits");
    drop((held, more));
}

#[test]
fn others_load_counts_while_it_is_fresh() {
    let now = Instant::now();
    let pool = mk_pool(now, vec![mk_endpoint(1), mk_endpoint(2)]);
    let reading = Reading { running: Some(150), waiting: Some(0), ..Reading::default() };
    slot(&pool, 1).store(reading, now);
    assert_eq!(choices(&pool, &ask(10), now + Duration::from_secs(1)), [2]);
    let hosts: std::collections::BTreeSet<_> = (0..32)
        .map(|seed| {
            pick(&pool, &ask(10), now + Duration::from_secs(9 + seed), &mut rng(seed)).unwrap().endpoints[0]
        })
        .collect();
    assert_eq!(hosts.len(), 2, "stale");
}

#[test]
fn full_kv_caches_are_left_alone() {
    let now = Instant::now();
    let pool = mk_pool(now, vec![mk_endpoint(1), mk_endpoint(2)]);
    slot(&pool, 1)
        .store(Reading { kv_usage: Some(0.97), kv_tokens: Some(400_000), ..Reading::default() }, now);
    slot(&pool, 2)
        .store(Reading { kv_usage: Some(0.30), kv_tokens: Some(400_000), ..Reading::default() }, now);
    let held = occupy(&pool, 2, 5, now);
    assert_eq!(choices(&pool, &ask(100), now + Duration::from_secs(1)), [2]);
    drop(held);
}

#[test]
fn adapters_are_followed_until_load_outweighs_them() {
    let now = Instant::now();
    let pool = mk_pool(now, vec![mk_endpoint(1), mk_endpoint(2), mk_endpoint(3)]);
    let hold = |host: u8, max: u32, names: &[&str]| {
        let mut running: Vec<u64> = names.iter().map(|name| Adapters::hash(name.as_bytes())).collect();
        running.sort_unstable();
        let adapters = Some(Adapters { max, running, waiting: vec![] });
        slot(&pool, host).store(Reading { adapters, ..Reading::default() }, now);
    };
    hold(1, 2, &["sql", "chat"]);
    hold(2, 2, &["law", "med"]);
    hold(3, 2, &["law"]);
    let sql = Ask { model: "sql", ..ask(10) };
    let at = now + Duration::from_millis(500);
    assert_eq!(choices(&pool, &sql, at), [1]);
    let held = occupy(&pool, 1, 60, now);
    assert_eq!(choices(&pool, &sql, at), [3], "loading costs less than the wait, and 2 has no room");
    let base: std::collections::BTreeSet<_> = (0..32)
        .map(|s| pick(&pool, &ask(10), at + Duration::from_millis(s * 40), &mut rng(s)).unwrap().endpoints[0])
        .collect();
    assert_eq!(base.len(), 2, "the base model needs no adapter: 2 and 3");
    drop(held);
}

#[test]
fn subsets_by_address_and_port() {
    let now = Instant::now();
    let mut twin = mk_endpoint(1);
    twin.address.set_port(8001);
    let pool = mk_pool(now, vec![mk_endpoint(1), twin, mk_endpoint(2), mk_endpoint(3)]);
    let entry = |ip: &str, port| SubsetEntry { ip: ip.parse().unwrap(), port };
    let picked = |subset: &[SubsetEntry]| {
        let mut all = pick(&pool, &Ask { subset: Some(subset), ..ask(1) }, now, &mut rng(1))?.endpoints;
        all.sort_unstable();
        Ok::<_, Refusal>(all.into_vec())
    };
    let other = "10.0.0.1:8001".parse().unwrap();
    assert_eq!(picked(&[entry("10.0.0.1", None)]), Ok(vec![addr(1), other]));
    assert_eq!(picked(&[entry("10.0.0.1", Some(8001))]), Ok(vec![other]));
    let twice = [entry("::ffff:10.0.0.2", Some(8000)), entry("10.0.0.2", None), entry("10.0.0.3", Some(1))];
    assert_eq!(picked(&twice), Ok(vec![addr(2)]));
    assert_eq!(picked(&[entry("10.0.0.9", None)]), Err(Refusal::SubsetEmpty));
    assert_eq!(picked(&[]), Err(Refusal::SubsetEmpty));
}

#[test]
fn refusals_name_their_reason() {
    let now = Instant::now();
    let refusal = |pool: &Arc<Pool>, ask: &Ask<'_>| pick(pool, ask, now, &mut rng(1)).unwrap_err();
    assert_eq!(refusal(&mk_pool(now, vec![]), &ask(1)), Refusal::NoEndpoints);
    let draining = MkEndpoint { ready: false, ..mk_endpoint(1) };
    assert_eq!(refusal(&mk_pool(now, vec![draining]), &ask(1)), Refusal::NoEndpoints);

    let pool = mk_pool(now, vec![mk_endpoint(1), mk_endpoint(2)]);
    for (host, tokens) in [(1, 1_000), (2, 3_000)] {
        slot(&pool, host).store(Reading { kv_tokens: Some(tokens), ..Reading::default() }, now);
    }
    let refused = refusal(&pool, &ask(5_000));
    assert_eq!(refused, Refusal::DoesNotFit { prompt_tokens: 5_000, largest: 3_000 });
    assert_eq!((refused.status(), refused.reason()), (400, "does_not_fit"));
    assert!(refused.to_string().contains("5000") && refused.to_string().contains("3000"));
    assert_eq!(choices(&pool, &ask(2_000), now), [2]);
}

#[test]
fn contexts_hold_prompts_and_what_is_asked_for() {
    let now = Instant::now();
    let pool =
        mk_pool(now, vec![mk_endpoint(1), mk_endpoint(2), MkEndpoint { context: 2_048, ..mk_endpoint(3) }]);
    for (host, tokens) in [(1, 4_096), (2, 8_192), (3, 1 << 20)] {
        slot(&pool, host).takes_context(tokens);
    }
    let among = |prompt_tokens, max_tokens| choices(&pool, &Ask { max_tokens, ..ask(prompt_tokens) }, now);
    assert_eq!(among(2_047, None), [1, 2, 3]);
    assert_eq!(among(2_047, Some(2)), [1, 2], "the label goes before what the server says");
    assert_eq!(among(3_000, Some(2_000)), [2]);
    assert_eq!(among(12_000, None), [2], "the engine counts exactly");
    assert_eq!(among(2_000, Some(8_192)), [1, 2, 3], "none has room for that, and the engine says it better");
    let refused = pick(&pool, &ask(13_000), now, &mut rng(1)).unwrap_err();
    assert_eq!(refused, Refusal::DoesNotFit { prompt_tokens: 13_000, largest: 8_191 });
}

#[test]
fn failing_endpoints_are_avoided_while_others_are_left() {
    let now = Instant::now();
    let pool = mk_pool(now, (1..=5).map(mk_endpoint).collect());
    let fail = |host: u8| {
        for _ in 0..3 {
            slot(&pool, host).scrape_failed();
        }
    };
    fail(1);
    assert_eq!(choices(&pool, &ask(1), now + Duration::from_secs(9)), [2, 3, 4, 5]);
    (2..=4).for_each(fail);
    let picked = pick(&pool, &ask(1), now, &mut rng(3)).unwrap();
    assert_eq!(
        (picked.endpoints[0], picked.endpoints.len()),
        (addr(5), 4),
        "failing ones are only fallbacks"
    );
    fail(5);
    assert!(!choices(&pool, &ask(1), now + Duration::from_secs(9)).is_empty(), "all fail: open");
}

#[test]
fn fallbacks_come_in_order_of_cost_and_explain_agrees() {
    let now = Instant::now();
    let classes = ["nvidia-t4", "nvidia-h100-80gb", "nvidia-l40s", "nvidia-a100-80gb", "nvidia-l4"];
    let mut endpoints: Vec<MkEndpoint> =
        (1..).zip(classes).map(|(host, class)| mk_class(host, class)).collect();
    endpoints.push(MkEndpoint { ready: false, ..mk_class(6, "nvidia-b200") });
    let pool = mk_pool(now, endpoints);
    let picked = pick(&pool, &ask(500), now, &mut rng(1)).unwrap();
    assert_eq!(picked.endpoints.as_slice(), [addr(2), addr(4), addr(3), addr(5)]);
    let expected = picked.expected_ttft.as_secs_f32();
    drop(picked);

    let explained = explain(&pool, &ask(500), now + Duration::from_secs(9)).endpoints;
    let order: Vec<SocketAddr> = explained.iter().map(|one| one.address).collect();
    assert_eq!(order, [addr(2), addr(4), addr(3), addr(5), addr(1), addr(6)]);
    assert_eq!((explained[0].verdict, explained[5].verdict), (Verdict::Candidate, Verdict::Draining));
    assert!((explained[0].parts.ttft() - expected).abs() < 1e-4);
}
