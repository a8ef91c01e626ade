use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proto::peers::v1::{FollowResponse, Sent, Standing};
use proto::tier::v1::{Endpoint, PoolName, PoolSnapshot, WatchResponse};

use super::heard::Taken;
use super::{Heard, Telling};
use crate::pool::{Pools, Slot, Work};
use crate::prefix::Matches;

const WORK: Work = Work { prompt_tokens: 100, prefill_tokens: 60, decode_tokens: 30 };
const TICK: Duration = Duration::from_millis(25);

fn addr(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 8000))
}

fn mk_pool(name: &str, hosts: &[u8]) -> PoolSnapshot {
    let endpoint =
        |host: &u8| Endpoint { address: format!("10.0.0.{host}"), port: 8000, ..Endpoint::default() };
    let name = Some(PoolName { namespace: "ns".into(), name: name.into() });
    PoolSnapshot { name, endpoints: hosts.iter().map(endpoint).collect(), ..PoolSnapshot::default() }
}

/// Pools of one picker.
fn mk_pools(now: Instant, pools: &[(&str, &[u8])]) -> Pools {
    let made = Pools::new(now);
    let changed = pools.iter().map(|(name, hosts)| mk_pool(name, hosts)).collect();
    made.apply(WatchResponse { changed, ..WatchResponse::default() });
    made
}

fn slot(pools: &Pools, host: u8) -> Arc<Slot> {
    pools.slot(addr(host)).unwrap()
}

/// Everything that is to be told at `now`.
fn all(telling: &mut Telling, now: Instant) -> Vec<FollowResponse> {
    std::iter::from_fn(|| telling.next(now)).collect()
}

/// What is told of endpoints: host, requests, prefill tokens.
fn standings(told: &[FollowResponse]) -> Vec<(String, u32, u64)> {
    let standings = told.iter().flat_map(|told| &told.standings);
    standings.map(|one| (one.address.clone(), one.requests, one.prefill_tokens)).collect()
}

#[test]
fn what_differs_is_told_at_once_and_what_stands_every_second() {
    let start = Instant::now();
    let pools = mk_pools(start, &[("a", &[1, 2, 3])]);
    let mut telling = Telling::new((7, "one"), &pools, None, start);
    let at = |ms: u64| start + Duration::from_millis(ms);
    let hello = all(&mut telling, at(0));
    assert_eq!(
        (hello.len(), hello[0].instance, hello[0].picker.as_str()),
        (1, 7, "one"),
        "nothing but who it is"
    );
    assert!(hello[0].standings.is_empty());
    assert_eq!(all(&mut telling, at(25)), []);

    for _ in 0..3 {
        slot(&pools, 2).add(&WORK);
    }
    assert_eq!(standings(&all(&mut telling, at(50))), [("10.0.0.2:8000".into(), 3, 180)]);
    assert_eq!(all(&mut telling, at(75)), []);
    assert_eq!(all(&mut telling, at(300)).len(), 1, "a sign of life");
    slot(&pools, 2).prefilled(&WORK);
    slot(&pools, 1).add(&WORK);
    assert_eq!(
        standings(&all(&mut telling, at(325))),
        [("10.0.0.1:8000".into(), 1, 60), ("10.0.0.2:8000".into(), 3, 120)]
    );
    slot(&pools, 1).remove(&WORK, false);
    assert_eq!(standings(&all(&mut telling, at(350))), [("10.0.0.1:8000".into(), 0, 0)]);
    assert_eq!(standings(&all(&mut telling, at(1_325))), [("10.0.0.2:8000".into(), 3, 120)], "told again");

    // The endpoint leaves; its requests go on, but not where anyone picks.
    pools.apply(WatchResponse { changed: vec![mk_pool("a", &[1])], ..WatchResponse::default() });
    let told: Vec<_> = (1_350..6_000).step_by(25).flat_map(|ms| all(&mut telling, at(ms))).collect();
    assert_eq!(standings(&told), [("10.0.0.2:8000".into(), 0, 0)]);
}

#[test]
fn a_follower_is_told_of_the_pools_that_it_may_hear_of() {
    let now = Instant::now();
    let pools = mk_pools(now, &[("a", &[1]), ("b", &[2])]);
    let mut telling = Telling::new((7, "one"), &pools, Some(vec!["ns/b".into(), "ns/none".into()]), now);
    for host in [1, 2] {
        slot(&pools, host).add(&WORK);
        pools.get("ns/a").unwrap().tell_sent(addr(host), &Arc::new(vec![u64::from(host)]), 64.0);
    }
    let told = all(&mut telling, now);
    assert_eq!(standings(&told), [("10.0.0.2:8000".into(), 1, 60)]);
    let blocks: Vec<_> = told.iter().flat_map(|told| &told.sent).map(|sent| sent.blocks.clone()).collect();
    assert_eq!(blocks, [[2]]);
}

#[test]
fn prompts_are_told_in_bounded_messages_and_of_too_many_the_oldest_are_missed() {
    let now = Instant::now();
    let (one, other) = (mk_pools(now, &[("a", &[1])]), mk_pools(now, &[("a", &[1])]));
    let pool = one.only().unwrap();
    let send = |from: u64, len: u64| {
        let blocks: Vec<u64> = (0..len).map(|block| from << 32 | block).collect();
        pool.tell_sent(addr(1), &Arc::new(blocks), 64.0);
    };
    send(999, 4);
    let mut telling = Telling::new((7, "one"), &one, None, now);
    let mut heard = Heard::new(&other, now);
    (0..600).for_each(|n| send(n, 300));
    let told = all(&mut telling, now);
    assert!(told.len() > 1, "{} blocks in one message", 512 * 300);
    for told in &told {
        let blocks: usize = told.sent.iter().map(|sent| sent.blocks.len()).sum();
        assert!(blocks <= super::telling::BLOCKS);
    }
    let mut sum = Taken::default();
    for told in told {
        let taken = heard.hear(&told, now);
        sum = Taken { blocks: sum.blocks + taken.blocks, missed: sum.missed + taken.missed, ..taken };
    }
    assert_eq!(sum, Taken { blocks: 512 * 300, missed: 88, ..Taken::default() });

    let mut matches = Matches::default();
    let held = slot(&other, 1).held().unwrap().number();
    for (prompt, blocks) in [(599, 300), (590, 300), (87, 0), (999, 0)] {
        other
            .only()
            .unwrap()
            .prefixes()
            .lookup(&(0..300).map(|b| prompt << 32 | b).collect::<Vec<u64>>(), &mut matches);
        // The endpoint's own capacity may evict older ones.
        assert_eq!(matches.run(held), blocks, "prompt {prompt}");
    }
}

#[test]
fn a_picker_that_starts_is_told_what_is_known_from_before() {
    let now = Instant::now();
    let (one, other) = (mk_pools(now, &[("a", &[1, 2])]), mk_pools(now, &[("a", &[1, 2])]));
    for prompt in 0..20_u64 {
        let blocks: Vec<u64> = (0..300).map(|block| prompt << 32 | block).collect();
        slot(&one, 1 + (prompt % 2) as u8).held().unwrap().record(&blocks, 40.0, None);
    }
    let mut heard = Heard::new(&other, now);
    let mut telling = Telling::new((7, "one"), &one, None, now).with_known();
    let taken: Vec<u64> = all(&mut telling, now).iter().map(|told| heard.hear(told, now).blocks).collect();
    assert_eq!(taken.iter().sum::<u64>(), 6_000);
    for host in [1, 2] {
        let known = |pools: &Pools| slot(pools, host).held().unwrap().known(usize::MAX);
        let ((told, tokens), (held, others)) = (known(&one), known(&other));
        assert_eq!((told.len(), told == held), (3_000, true), "in the same order of use");
        assert!((tokens - others).abs() < 1.0, "{tokens} {others}");
    }
    assert_eq!(all(&mut telling, now + TICK), [], "once");
}

#[test]
fn what_means_nothing_is_counted_and_not_used() {
    let now = Instant::now();
    let pools = mk_pools(now, &[("a", &[1])]);
    let mut heard = Heard::new(&pools, now);
    let standing = |address: &str, tokens: u64| Standing {
        address: address.into(),
        requests: u32::MAX,
        prompt_tokens: tokens,
        prefill_tokens: tokens,
        decode_tokens: tokens,
        queued_micros: tokens,
    };
    let sent = |address: &str, block_tokens: f32| Sent {
        address: address.into(),
        blocks: vec![1; 5_000],
        block_tokens,
    };
    let mut others: Vec<Heard> = (0..15).map(|_| Heard::new(&pools, now)).collect();
    let mad = FollowResponse {
        standings: vec![
            standing("10.0.0.1:8000", u64::MAX),
            standing("10.0.0.9:8000", 1),
            standing("10.0.0.1", 1),
            standing("", 1),
        ],
        sent: vec![
            sent("10.0.0.9:8000", 64.0),
            sent("10.0.0.1:8000", f32::NAN),
            sent("10.0.0.1:8000", -1.0),
            sent("10.0.0.1:8000", 64.0),
        ],
        ..FollowResponse::default()
    };
    let taken = heard.hear(&mad, now);
    assert_eq!(taken, Taken { blocks: 2_048, unknown: 2, malformed: 4, missed: 0 });
    for other in &mut others {
        other.hear(&mad, now);
    }
    let slot = slot(&pools, 1);
    let load = slot.load(now);
    assert_eq!(load.peers, 16_000_000);
    assert!(load.requests().is_finite() && load.prefill_clear_s <= 16.0 * 600.0, "{load:?}");
    drop((heard, others));
    assert_eq!((slot.load(now).peers, slot.load(now).prefill_tokens), (0, 0));
}

#[test]
fn prompts_of_all_pickers_stand_in_one_line() {
    let now = Instant::now();
    let (one, other) = (mk_pools(now, &[("a", &[1])]), mk_pools(now, &[("a", &[1])]));
    let mut telling = Telling::new((7, "one"), &one, None, now);
    let mut heard = Heard::new(&other, now);
    let mut exchange = |now| {
        for told in all(&mut telling, now) {
            heard.hear(&told, now);
        }
    };
    let second = Duration::from_secs(1);
    slot(&one, 1).queue_prefill(second, now);
    exchange(now);
    let clear = |pools: &Pools, now| slot(pools, 1).load(now).prefill_clear_s.round();
    assert_eq!(clear(&other, now), 0.0, "what was queued before the endpoint was first told of is not known");
    slot(&one, 1).queue_prefill(2 * second, now);
    slot(&other, 1).queue_prefill(3 * second, now);
    exchange(now + TICK);
    assert_eq!((clear(&one, now), clear(&other, now + TICK)), (3.0, 5.0));
    slot(&one, 1).unqueue_prefill(2 * second);
    exchange(now + 2 * TICK);
    assert_eq!(clear(&other, now + 2 * TICK), 3.0);
}

#[derive(Clone, Debug)]
enum Step {
    Add(usize, u8),
    Prefilled(usize),
    End(usize),
    Exchange,
    /// The stream between two breaks, and is opened again.
    Break(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_usize..3, 1_u8..4).prop_map(|(picker, host)| Step::Add(picker, host)),
        2 => (0_usize..3).prop_map(Step::Prefilled),
        5 => (0_usize..3).prop_map(Step::End),
        4 => Just(Step::Exchange),
        1 => (0_usize..3, 0_usize..3).prop_map(|(from, to)| Step::Break(from, to)),
    ]
}

/// Requests of one picker, each with its host and whether its prompt is computed.
type Own = Vec<(u8, bool)>;

proptest! {
    /// Three pickers; whatever happened, once all were heard each counts exactly what the other two have.
    #[test]
    fn after_an_exchange_each_counts_what_the_others_have(steps in prop::collection::vec(step(), 1..120)) {
        let start = Instant::now();
        let pickers = [0, 1, 2].map(|_| mk_pools(start, &[("a", &[1, 2, 3])]));
        let link = |from: usize, to: usize, now| {
            (Telling::new((from as u64, ""), &pickers[from], None, now), Heard::new(&pickers[to], now))
        };
        let pairs = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)];
        let mut links = pairs.map(|(from, to)| Some(link(from, to, start)));
        let mut own: [Own; 3] = Default::default();
        let mut now = start;
        for step in steps.into_iter().chain([Step::Exchange]) {
            now += TICK;
            match step {
                Step::Add(picker, host) => {
                    slot(&pickers[picker], host).add(&WORK);
                    own[picker].push((host, false));
                }
                Step::Prefilled(picker) => {
                    if let Some((host, computed)) = own[picker].iter_mut().find(|(_, computed)| !computed) {
                        slot(&pickers[picker], *host).prefilled(&WORK);
                        *computed = true;
                    }
                }
                Step::End(picker) => {
                    if !own[picker].is_empty() {
                        let (host, computed) = own[picker].remove(0);
                        slot(&pickers[picker], host).remove(&WORK, computed);
                    }
                }
                Step::Break(from, to) => {
                    if let Some(at) = pairs.iter().position(|pair| *pair == (from, to)) {
                        // The old one goes first: both would count.
                        links[at] = None;
                        links[at] = Some(link(from, to, now));
                    }
                }
                Step::Exchange => {
                    for (telling, heard) in links.iter_mut().flatten() {
                        for told in all(telling, now) {
                            prop_assert_eq!(heard.hear(&told, now), Taken::default());
                        }
                    }
                    for (picker, pools) in pickers.iter().enumerate() {
                        for host in 1..4 {
                            let count = |of: &Own| of.iter().filter(|(at, _)| *at == host).count() as u32;
                            let open = |of: &Own| of.iter().filter(|one| **one == (host, false)).count() as u64;
                            let others = own.iter().enumerate().filter(|(at, _)| *at != picker).map(|(_, own)| own);
                            let load = slot(pools, host).load(now);
                            prop_assert_eq!((load.own, load.peers), (count(&own[picker]), others.map(count).sum()));
                            prop_assert_eq!(load.prefill_tokens, 60 * own.iter().map(open).sum::<u64>());
                        }
                    }
                }
            }
        }
        drop(links);
        for (pools, own) in pickers.iter().zip(&own) {
            let left: u32 = (1..4).map(|host| slot(pools, host).load(now).in_all()).sum();
            prop_assert_eq!(left as usize, own.len(), "nothing of the others is left");
        }
    }
}
