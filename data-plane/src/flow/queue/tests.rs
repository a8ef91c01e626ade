//! The queue without time or I/O: tables for its rules, properties for what must hold whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::super::settings::Times;
use super::*;

const TIMES: Times = Times {
    ttl: Duration::from_secs(10),
    endpoints: Duration::from_secs(60),
    longest: Duration::from_secs(90),
};

const WIDE: Bounds = bounds(1_000, 1_000);

const fn bounds(band: usize, total: usize) -> Bounds {
    Bounds {
        band: Size { requests: band, bytes: band * 100 },
        total: Size { requests: total, bytes: total * 100 },
    }
}

fn mk_waiter(priority: i32, tenant: u64, now: Instant) -> Waiter {
    Waiter {
        priority,
        tenant,
        tokens: 10,
        bytes: 1,
        subset: None,
        classes: "".into(),
        prompt_tokens: 0,
        answer_tokens: 0,
        arrived: now,
        due: now + TIMES.ttl,
        times: TIMES,
        patience: None,
    }
}

/// Room for so many.
struct Places(usize);

impl Room for Places {
    fn take(&mut self, _waiter: &Waiter) -> Taken {
        if self.0 == 0 {
            return Taken::Full;
        }
        self.0 -= 1;
        Taken::Yes
    }
}

/// A queue of numbered requests.
struct Run {
    queue: Queue<u32>,
    now: Instant,
    next: u32,
    displaced: Vec<(u32, Shed)>,
}

impl Run {
    fn new(bounds: Bounds) -> Self {
        Self { queue: Queue::new(bounds), now: Instant::now(), next: 0, displaced: Vec::new() }
    }

    /// Pushes a request; answers its number and what became of it.
    fn push(
        &mut self,
        change: impl FnOnce(&mut Waiter),
        priority: i32,
        tenant: u64,
    ) -> (u32, Result<Key, Shed>) {
        let mut waiter = mk_waiter(priority, tenant, self.now);
        change(&mut waiter);
        let number = self.next;
        self.next += 1;
        let mut displaced = Vec::new();
        let pushed = self.queue.push(waiter, number, self.now, &mut displaced);
        self.displaced.extend(displaced.into_iter().map(|(left, shed)| (left.payload, shed)));
        (number, pushed.map_err(|(_, shed)| shed))
    }

    fn dispatch(&mut self, places: usize) -> Vec<u32> {
        let mut granted = Vec::new();
        self.queue.dispatch(self.now, &mut Places(places), &mut granted);
        granted.into_iter().map(|left| left.payload).collect()
    }
}

#[test]
fn bands_then_turns_then_due_times() {
    let mut run = Run::new(WIDE);
    let soon = |waiter: &mut Waiter| waiter.due -= Duration::from_secs(1);
    for (change, priority, tenant) in [
        (false, 0, 1),  // 0
        (false, 0, 1),  // 1
        (true, 0, 1),   // 2: due before 0 and 1
        (false, 0, 2),  // 3
        (false, -5, 3), // 4
        (false, 7, 1),  // 5
    ] {
        let (_, pushed) = run.push(
            |waiter| {
                if change {
                    soon(waiter);
                }
            },
            priority,
            tenant,
        );
        pushed.unwrap();
    }
    assert_eq!(run.dispatch(1), [5], "the highest band first");
    let mut two = run.dispatch(2);
    two.sort_unstable();
    assert_eq!(two, [2, 3], "one of each tenant, and of tenant 1 the one that is due first");
    assert_eq!(run.dispatch(2), [0, 1]);
    assert_eq!(run.dispatch(9), [4], "the lowest band last");
    assert_eq!(run.queue.size(), Size::default());
}

#[test]
fn turns_cost_tokens_and_saving_up_is_not_possible() {
    let mut run = Run::new(WIDE);
    for _ in 0..40 {
        run.push(|waiter| waiter.tokens = 30, 0, 1).1.unwrap();
    }
    for _ in 0..40 {
        run.push(|waiter| waiter.tokens = 10, 0, 2).1.unwrap();
    }
    let first = run.dispatch(20);
    let heavy = first.iter().filter(|number| **number < 40).count();
    assert!((4..=6).contains(&heavy), "three to one: {heavy}");
    // A tenant that comes now has no claim on the past.
    let late: Vec<u32> = (0..20).map(|_| run.push(|_| (), 0, 3).0).collect();
    let next = run.dispatch(12);
    let got = next.iter().filter(|number| late.contains(number)).count();
    assert!((4..=7).contains(&got), "no more than its share: {got}");
}

#[test]
fn who_goes_when_the_queue_is_full() {
    // Lower priority first, and of it the tenant that has most, its last request.
    let mut run = Run::new(bounds(10, 4));
    for (priority, tenant) in [(0, 1), (-1, 2), (-1, 2), (-1, 3)] {
        run.push(|_| (), priority, tenant).1.unwrap();
    }
    run.push(|_| (), 5, 9).1.unwrap();
    assert!(matches!(run.displaced[..], [(2, Shed::Displaced { .. })]), "{:?}", run.displaced);
    // Nobody is lower, and no other tenant of the band has more: the newcomer is refused.
    let shed = run.push(|_| (), -1, 4).1.unwrap_err();
    assert!(matches!(shed, Shed::Saturated { .. }), "{shed:?}");

    // Within a band the largest tenant makes place until all have the same.
    let mut run = Run::new(bounds(4, 100));
    for tenant in [1, 1, 1, 1] {
        run.push(|_| (), 0, tenant).1.unwrap();
    }
    let shed = run.push(|_| (), 0, 1).1.unwrap_err();
    assert!(matches!(shed, Shed::QueueFull { waiting: 4, .. }), "its own tenant has most: {shed:?}");
    run.push(|_| (), 0, 2).1.unwrap();
    run.push(|_| (), 0, 2).1.unwrap();
    assert_eq!(run.displaced.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 2]);
    run.push(|_| (), 0, 2).1.unwrap_err();

    // A request that fits nowhere displaces nobody.
    let mut run = Run::new(bounds(4, 4));
    run.push(|_| (), -1, 1).1.unwrap();
    run.push(|waiter| waiter.bytes = 401, 5, 2).1.unwrap_err();
    assert!(run.displaced.is_empty());
    // Bytes count as requests do.
    run.push(|waiter| waiter.bytes = 400, 5, 2).1.unwrap();
    assert_eq!(run.displaced.len(), 1);
    assert_eq!(run.queue.size(), Size { requests: 1, bytes: 400 });
}

#[test]
fn requests_wait_as_long_as_they_may() {
    let seconds = Duration::from_secs;
    let start = Instant::now();
    // (patience, empty from the start, endpoints from) → expires after, reason
    for (patience, empty, filled, expires, reason) in [
        (None, false, None, 10, "queue_timeout"),
        (Some(3), false, None, 3, "client_deadline"),
        (Some(30), false, None, 10, "queue_timeout"),
        (None, true, None, 60, "no_endpoints"),
        (Some(3), true, None, 3, "no_endpoints"),
        (None, true, Some(50), 60, "queue_timeout"),
        (None, true, Some(55), 65, "queue_timeout"),
    ] {
        let mut run = Run::new(WIDE);
        run.now = start;
        run.queue.set_empty(empty, start);
        let key = run.push(|w| w.patience = patience.map(|s| start + seconds(s)), 0, 1).1.unwrap();
        if let Some(filled) = filled {
            run.queue.set_empty(false, start + seconds(filled));
        }
        let end = start + seconds(expires);
        let before = run.queue.due(&key, end - Duration::from_millis(1));
        assert!(matches!(before, Due::Until(until) if until == end), "{before:?}");
        let Due::Expired(left, shed) = run.queue.due(&key, end) else { panic!("it has waited {expires} s") };
        assert_eq!((left.payload, shed.reason()), (0, reason));
        assert!(matches!(run.queue.due(&key, end), Due::Gone));
        assert_eq!(run.queue.size(), Size::default());
    }
    // The bound on all waits holds although endpoints came late.
    let mut run = Run::new(WIDE);
    run.now = start;
    run.queue.set_empty(true, start);
    let key = run.push(|_| (), 0, 1).1.unwrap();
    run.queue.set_empty(false, start + seconds(85));
    assert!(matches!(run.queue.due(&key, start), Due::Until(until) if until == start + seconds(90)));
}

#[test]
fn a_request_whose_own_endpoints_are_full_does_not_hold_up_others() {
    struct Others(u64);
    impl Room for Others {
        fn take(&mut self, waiter: &Waiter) -> Taken {
            if waiter.tenant == self.0 { Taken::Elsewhere } else { Taken::Yes }
        }
    }
    let mut run = Run::new(WIDE);
    for (priority, tenant) in [(1, 1), (1, 2), (0, 1), (0, 3)] {
        run.push(|_| (), priority, tenant).1.unwrap();
    }
    let mut granted = Vec::new();
    run.queue.dispatch(run.now, &mut Others(1), &mut granted);
    assert_eq!(granted.iter().map(|left| left.payload).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(run.queue.size().requests, 2);
}

#[test]
fn the_time_to_come_back_follows_the_rate_of_leaving() {
    let mut run = Run::new(WIDE);
    for _ in 0..100 {
        run.push(|_| (), 0, 1).1.unwrap();
    }
    for _ in 0..50 {
        run.now += Duration::from_millis(100);
        assert_eq!(run.dispatch(1).len(), 1);
    }
    let retry_after = |priority| run.queue.retry_after(priority, run.now);
    assert!((4..=7).contains(&retry_after(0)), "50 ahead at 10 a second: {}", retry_after(0));
    assert_eq!(retry_after(1), 1, "nobody is ahead of a higher priority");
}

#[test]
fn equal_demand_is_served_equally() {
    let mut run = Run::new(bounds(10_000, 10_000));
    let mut rng = fastrand::Rng::with_seed(3);
    let mut tokens: BTreeMap<u64, u64> = BTreeMap::new();
    let mut owner: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
    // Eight tenants with the same demand in tokens, some in a few large requests, some in many small ones, in bursts.
    for _ in 0..400 {
        run.now += Duration::from_millis(10);
        for tenant in 1..=8_u64 {
            let size = 50 * tenant as u32;
            for _ in 0..(rng.u32(0..=1600) / size) {
                let number = run.push(|waiter| waiter.tokens = size, 0, tenant).0;
                owner.insert(number, (tenant, size));
            }
        }
        for number in run.dispatch(10) {
            let (tenant, size) = owner[&number];
            *tokens.entry(tenant).or_default() += u64::from(size);
        }
    }
    let shares: Vec<f64> = tokens.values().map(|tokens| *tokens as f64).collect();
    let jain = shares.iter().sum::<f64>().powi(2) / (8.0 * shares.iter().map(|s| s * s).sum::<f64>());
    assert!(shares.len() == 8 && jain >= 0.95, "{jain}: {shares:?}");
}

#[derive(Clone, Debug)]
enum Op {
    Push { priority: i32, tenant: u64, bytes: usize, tokens: u32, patience: Option<u64> },
    Dispatch(usize),
    Remove(usize),
    Due(usize),
    Pass(u64),
    Empty(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (-1..=2, 0..4_u64, 0..=300_usize, 0..100_u32, prop::option::of(0..20_u64)).prop_map(
            |(priority, tenant, bytes, tokens, patience)| Op::Push { priority, tenant, bytes, tokens, patience }
        ),
        3 => (0..4_usize).prop_map(Op::Dispatch),
        1 => any::<usize>().prop_map(Op::Remove),
        1 => any::<usize>().prop_map(Op::Due),
        1 => (0..8_u64).prop_map(Op::Pass),
        1 => any::<bool>().prop_map(Op::Empty),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nobody_is_lost_and_no_bound_is_passed(
        ops in prop::collection::vec(op(), 0..120),
        band in 1..8_usize,
        total in 1..12_usize,
    ) {
        let bounds = bounds(band, total);
        let mut run = Run::new(bounds);
        // number → (priority, key) of those that wait, as the test knows.
        let mut waiting: BTreeMap<u32, (i32, usize, Key)> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Push { priority, tenant, bytes, tokens, patience } => {
                    let now = run.now;
                    let shed_before = run.displaced.len();
                    let change = |waiter: &mut Waiter| {
                        waiter.bytes = bytes;
                        waiter.tokens = tokens;
                        waiter.patience = patience.map(|s| now + Duration::from_secs(s));
                    };
                    let (number, pushed) = run.push(change, priority, tenant);
                    for (gone, _) in &run.displaced[shed_before..] {
                        let (its, ..) = waiting.remove(gone).expect("only who waits is displaced, and once");
                        prop_assert!(its <= priority, "nobody makes place for a lower priority");
                    }
                    if let Ok(key) = pushed {
                        waiting.insert(number, (priority, bytes, key));
                    }
                }
                Op::Dispatch(places) => {
                    let before = waiting.clone();
                    let granted = run.dispatch(places);
                    prop_assert_eq!(granted.len(), places.min(before.len()), "work conserving");
                    let mut last = i32::MAX;
                    for number in granted {
                        let (priority, ..) = waiting.remove(&number).expect("only who waits is let go, and once");
                        prop_assert!(priority <= last, "highest first");
                        last = priority;
                    }
                    let highest = waiting.values().map(|(priority, ..)| *priority).max();
                    prop_assert!(
                        last == i32::MAX || highest.is_none_or(|highest| highest <= last),
                        "nobody waits behind a lower priority"
                    );
                }
                Op::Remove(which) => {
                    if let Some(number) = nth(&waiting, which) {
                        let (_, _, key) = waiting.remove(&number).expect("it waits");
                        prop_assert_eq!(run.queue.remove(&key).map(|left| left.payload), Some(number));
                        prop_assert!(run.queue.remove(&key).is_none());
                    }
                }
                Op::Due(which) => {
                    if let Some(number) = nth(&waiting, which) {
                        let (_, _, key) = waiting[&number];
                        match run.queue.due(&key, run.now) {
                            Due::Until(until) => prop_assert!(until > run.now),
                            Due::Expired(left, _) => {
                                prop_assert_eq!(left.payload, number);
                                waiting.remove(&number);
                            }
                            Due::Gone => prop_assert!(false, "it waits"),
                        }
                    }
                }
                Op::Pass(seconds) => run.now += Duration::from_secs(seconds),
                Op::Empty(empty) => run.queue.set_empty(empty, run.now),
            }
            let bytes: usize = waiting.values().map(|(_, bytes, _)| bytes).sum();
            prop_assert_eq!(run.queue.size(), Size { requests: waiting.len(), bytes });
            prop_assert!(run.queue.size().within(&bounds.total));
            for (priority, size) in run.queue.sizes() {
                prop_assert!(size.within(&bounds.band));
                let count = waiting.values().filter(|(its, ..)| *its == priority).count();
                prop_assert_eq!(size.requests, count);
            }
        }
        let left: BTreeSet<u32> = run.queue.drain().into_iter().map(|left| left.payload).collect();
        prop_assert_eq!(left, waiting.into_keys().collect::<BTreeSet<_>>());
    }
}

fn nth(waiting: &BTreeMap<u32, (i32, usize, Key)>, which: usize) -> Option<u32> {
    let count = waiting.len();
    waiting.keys().nth(which.checked_rem(count)?).copied()
}
