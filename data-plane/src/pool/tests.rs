use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proto::tier::v1::{self, EndpointState, PoolName, PoolSnapshot, WatchResponse};

use super::*;

fn mk_endpoint(host: u8, pod: &str) -> v1::Endpoint {
    v1::Endpoint {
        address: format!("10.0.0.{host}"),
        port: 8000,
        pod: pod.to_owned(),
        state: EndpointState::Ready.into(),
        ..v1::Endpoint::default()
    }
}

fn mk_pool(name: &str, endpoints: Vec<v1::Endpoint>) -> PoolSnapshot {
    let name = PoolName { namespace: "ns".into(), name: name.into() };
    PoolSnapshot { name: Some(name), revision: 1, endpoints, ..PoolSnapshot::default() }
}

fn changed(pools: Vec<PoolSnapshot>) -> WatchResponse {
    WatchResponse { changed: pools, ..WatchResponse::default() }
}

fn removed(name: &str) -> WatchResponse {
    let name = PoolName { namespace: "ns".into(), name: name.into() };
    WatchResponse { removed: vec![name], ..WatchResponse::default() }
}

fn addr(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 8000))
}

const WORK: Work = Work { prompt_tokens: 100, prefill_tokens: 60, decode_tokens: 30 };

#[test]
fn bad_parts_are_told_and_the_rest_is_used() {
    let pools = Pools::new(Instant::now());
    let mut bad_address = mk_endpoint(2, "b");
    bad_address.address = "ten".into();
    let mut bad_port = mk_endpoint(3, "c");
    bad_port.port = 70_000;
    let mut pool = mk_pool(
        "a",
        vec![mk_endpoint(9, "z"), bad_address, bad_port, mk_endpoint(1, "a"), mk_endpoint(1, "twin")],
    );
    pool.rewrites = vec![v1::RewriteRule { source: "empty".into(), ..Default::default() }];
    let nameless = PoolSnapshot::default();
    let slash = mk_pool("a/b", vec![]);
    let problems = pools.apply(changed(vec![nameless, slash, pool]));
    assert_eq!(problems.len(), 6, "{problems:#?}");
    let snapshot = pools.only().unwrap().snapshot();
    let addresses: Vec<SocketAddr> = snapshot.endpoints.iter().map(Endpoint::address).collect();
    assert_eq!(addresses, vec![addr(1), addr(9)], "sorted, without the twin");
    assert_eq!(snapshot.endpoints[0].pod, "a");
}

#[test]
fn synced_stays_and_removed_pools_return_as_themselves() {
    let pools = Pools::new(Instant::now());
    assert!(!pools.is_synced() && pools.only().is_none());
    pools.apply(WatchResponse { synced: true, ..changed(vec![mk_pool("a", vec![]), mk_pool("b", vec![])]) });
    assert!(pools.is_synced() && pools.only().is_none() && pools.all().len() == 2);
    let held = pools.get("ns/a").unwrap();
    pools.apply(removed("a"));
    pools.apply(removed("b"));
    assert!(pools.is_synced() && pools.all().is_empty());
    pools.apply(changed(vec![mk_pool("a", vec![]), mk_pool("b", vec![])]));
    assert!(Arc::ptr_eq(&held, &pools.get("ns/a").unwrap()));
}

#[test]
fn pools_share_the_slots_of_common_endpoints() {
    let pools = Pools::new(Instant::now());
    pools.apply(changed(vec![
        mk_pool("a", vec![mk_endpoint(1, "p")]),
        mk_pool("b", vec![mk_endpoint(1, "p")]),
    ]));
    let slot = |pool: &str| Arc::clone(&pools.get(pool).unwrap().snapshot().endpoints[0].slot);
    assert!(Arc::ptr_eq(&slot("ns/a"), &slot("ns/b")));
}

#[test]
fn another_pod_at_an_address_starts_without_readings_but_keeps_work() {
    let now = Instant::now();
    let pools = Pools::new(now);
    pools.apply(changed(vec![mk_pool("a", vec![mk_endpoint(1, "old")])]));
    let slot = Arc::clone(&pools.only().unwrap().snapshot().endpoints[0].slot);
    slot.add(&WORK);
    slot.store(Reading { running: Some(4), kv_tokens: Some(10), ..Reading::default() }, now);
    pools.apply(changed(vec![mk_pool("a", vec![mk_endpoint(1, "old")])]));
    assert_eq!(slot.freshness(now), Freshness::Fresh);
    pools.apply(changed(vec![mk_pool("a", vec![mk_endpoint(1, "new")])]));
    assert_eq!((slot.freshness(now), slot.kv_tokens(), slot.in_flight()), (Freshness::Never, None, 1));
}

#[test]
fn own_counters_are_corrected_without_counting_twice() {
    let start = Instant::now();
    let slot = Slot::new(addr(1), start);
    let at = |ms: u64| start + Duration::from_millis(ms);
    let reading =
        |running, waiting| Reading { running: Some(running), waiting: Some(waiting), ..Reading::default() };
    assert_eq!((slot.freshness(at(0)), slot.load(at(0)).foreign), (Freshness::Never, 0));

    for _ in 0..5 {
        slot.add(&WORK);
    }
    slot.store(reading(4, 0), at(50));
    assert_eq!(slot.load(at(50)).requests(), 5.0, "one of ours is on its way");
    slot.store(reading(7, 1), at(100));
    assert_eq!(slot.load(at(100)).requests(), 8.0, "three are others'");
    slot.add(&WORK);
    assert_eq!(slot.load(at(110)).requests(), 9.0, "counted at once");
    // Four of ours end; the server still shows them, or a scrape began before they ended.
    for _ in 0..4 {
        slot.remove(&WORK, false);
    }
    slot.store(reading(6, 0), at(150));
    assert_eq!(
        slot.load(at(150)).requests(),
        2.0,
        "the six are those that we had in flight since the last scrape"
    );
    slot.store(reading(6, 0), at(200));
    assert_eq!(slot.load(at(200)).requests(), 6.0, "they are still there: others'");
    assert_eq!(slot.freshness(at(2_300)), Freshness::Stale(Duration::from_millis(2_100)));
    assert_eq!(slot.load(at(2_300)).requests(), 2.0, "stale: own counters only");
}

#[test]
fn what_peers_tell_is_not_counted_again_when_scrapes_show_it() {
    let start = Instant::now();
    let slot = Slot::new(addr(1), start);
    let at = |ms: u64| start + Duration::from_millis(ms);
    let reading = |running| Reading { running: Some(running), waiting: Some(0), ..Reading::default() };
    let peer = |requests| Standing { requests, prompt_tokens: 10, ..Standing::default() };
    let load = |ms| {
        let load = slot.load(at(ms));
        (load.own, load.peers, load.foreign)
    };
    slot.add(&WORK);
    slot.replace(&Standing::default(), &peer(3), 0, at(10));
    assert_eq!(load(10), (1, 3, 0));
    slot.store(reading(4), at(20));
    assert_eq!(load(20), (1, 3, 0), "all of them are known");
    // Two more of the peer are seen by a scrape before it tells them.
    slot.store(reading(6), at(40));
    assert_eq!(load(40), (1, 3, 2));
    slot.replace(&peer(3), &peer(5), 0, at(50));
    assert_eq!(load(50), (1, 5, 0), "they are those that the scrape saw");
    slot.store(reading(6), at(60));
    assert_eq!(load(60), (1, 5, 0));
    // They end; a scrape that began before that still shows them.
    slot.replace(&peer(5), &peer(0), 0, at(70));
    slot.store(reading(6), at(80));
    assert_eq!(load(80), (1, 0, 0), "the most that was known since the scrape before");
    slot.store(reading(6), at(100));
    assert_eq!(load(100), (1, 0, 5), "still there: somebody else's");
}

#[test]
fn kv_usage_grows_with_what_was_sent_since_the_scrape() {
    let now = Instant::now();
    let slot = Slot::new(addr(1), now);
    slot.add(&WORK);
    slot.store(Reading { kv_usage: Some(0.5), kv_tokens: Some(1_300), ..Reading::default() }, now);
    slot.add(&WORK);
    assert!((slot.load(now).kv_used.unwrap() - 0.6).abs() < 1e-3);
    let unknown = Slot::new(addr(2), now);
    assert_eq!(unknown.load(now).kv_used, None);
}

#[test]
fn waiting_requests_show_how_many_run_at_most() {
    let now = Instant::now();
    let slot = Slot::new(addr(1), now);
    let read = |running, waiting| {
        slot.store(Reading { running: Some(running), waiting: Some(waiting), ..Reading::default() }, now);
        slot.load(now).learned_slots
    };
    assert_eq!(read(0, 1), None, "one has just arrived");
    assert_eq!(read(1, 0), None);
    assert_eq!(read(8, 2), None);
    assert_eq!(read(8, 3), Some(8));
    assert_eq!(read(3, 0), Some(8));
    assert_eq!(read(12, 0), Some(12));
}

#[test]
fn fewer_that_run_are_believed_after_a_second() {
    let start = Instant::now();
    let slot = Slot::new(addr(1), start);
    let read = |ms: u64, running, waiting| {
        let reading = Reading { running: Some(running), waiting: Some(waiting), ..Reading::default() };
        slot.store(reading, start + Duration::from_millis(ms));
        slot.load(start).learned_slots
    };
    read(0, 32, 1);
    assert_eq!(read(50, 32, 1), Some(32));
    // Some end at each step, and those that wait begin with the next one.
    for ms in (100..900).step_by(50) {
        assert_eq!(read(ms, 20 + ms as u32 % 7, 3), Some(32), "{ms}");
    }
    assert_eq!(read(950, 32, 3), Some(32), "it does run as many");
    for ms in (1_000..2_000).step_by(50) {
        assert_eq!(read(ms, 20 + u32::from(ms == 1_500), 3), Some(32), "{ms}");
    }
    assert_eq!(read(2_000, 20, 3), Some(21), "the most of a second");
    assert_eq!(read(2_050, 20, 3), Some(21));
    assert_eq!(read(5_000, 20, 3), Some(21), "what was seen seconds ago is no part of it");
    assert_eq!(read(5_050, 20, 3), Some(21));
}

#[test]
fn failures_are_avoided_until_they_pass() {
    let start = Instant::now();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let slot = Slot::new(addr(1), start);
    for failures in 1..=3 {
        assert!(!slot.is_failing(at(0)));
        assert_eq!(slot.scrape_failed(), failures);
    }
    assert!(slot.is_failing(at(0)));
    assert_eq!(slot.freshness(at(0)), Freshness::Failing(3));
    slot.store_alive();
    assert!(!slot.is_failing(at(0)));

    for _ in 0..3 {
        slot.errored(at(1_000));
    }
    assert!(slot.is_failing(at(1_400)) && !slot.is_failing(at(1_600)), "half a second");
    slot.errored(at(1_600));
    assert!(slot.is_failing(at(2_500)) && !slot.is_failing(at(2_700)), "doubled");
    for _ in 0..20 {
        slot.errored(at(2_700));
    }
    assert!(slot.is_failing(at(4_600)) && !slot.is_failing(at(4_800)), "two seconds at most");
    slot.answered();
    slot.errored(at(3_000));
    assert!(!slot.is_failing(at(3_000)), "an answer ends the row");
}

/// One step of a pool's life.
#[derive(Clone, Debug)]
enum Step {
    Hosts(Vec<(u8, u8)>),
    Remove,
    Start(u8),
    Prefilled(usize),
    End(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => proptest::collection::vec((1_u8..6, 0_u8..3), 0..6).prop_map(Step::Hosts),
        1 => Just(Step::Remove),
        4 => (1_u8..6).prop_map(Step::Start),
        2 => (0_usize..50).prop_map(Step::Prefilled),
        3 => (0_usize..50).prop_map(Step::End),
    ]
}

proptest! {
    /// Whatever comes and goes, each address counts exactly the requests that run there.
    #[test]
    fn counts_survive_churn(steps in proptest::collection::vec(step(), 1..80)) {
        let pools = Pools::new(Instant::now());
        pools.apply(changed(vec![mk_pool("a", vec![])]));
        let mut running: Vec<(Arc<Slot>, bool)> = Vec::new();
        for step in steps {
            match step {
                Step::Hosts(hosts) => {
                    let endpoints = hosts.iter().map(|(host, pod)| mk_endpoint(*host, &pod.to_string())).collect();
                    pools.apply(changed(vec![mk_pool("a", endpoints)]));
                }
                Step::Remove => drop(pools.apply(removed("a"))),
                Step::Start(host) => {
                    let slot = pools.get("ns/a").and_then(|pool| pool.slot(addr(host)));
                    if let Some(slot) = slot {
                        slot.add(&WORK);
                        running.push((slot, false));
                    }
                }
                Step::Prefilled(index) => {
                    if let Some((slot, prefilled @ false)) = running.get_mut(index) {
                        slot.prefilled(&WORK);
                        *prefilled = true;
                    }
                }
                Step::End(index) if index < running.len() => {
                    let (slot, prefilled) = running.swap_remove(index);
                    slot.remove(&WORK, prefilled);
                }
                Step::End(_) => {}
            }
            let mut expected: BTreeMap<SocketAddr, [u64; 4]> = BTreeMap::new();
            for (slot, prefilled) in &running {
                let sum = expected.entry(slot.address()).or_default();
                let prefill = if *prefilled { 0 } else { 60 };
                for (sum, add) in sum.iter_mut().zip([1, 100, prefill, 30]) {
                    *sum += add;
                }
            }
            for (slot, _) in &running {
                prop_assert_eq!(slot.work(), expected[&slot.address()]);
            }
            if let Some(pool) = pools.get("ns/a") {
                for endpoint in &pool.snapshot().endpoints {
                    let wanted = expected.get(&endpoint.address()).copied().unwrap_or_default();
                    prop_assert_eq!(endpoint.slot.work(), wanted);
                }
            }
        }
        running.clear();
        pools.apply(removed("a"));
        pools.apply(removed("a"));
        prop_assert_eq!(pools.slots(), 0, "no slot outlives its last holder");
    }
}
