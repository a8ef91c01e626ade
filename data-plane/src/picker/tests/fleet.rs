//! A fleet of model servers in virtual time: each runs up to its batch, computes one prompt at a time and generates at
//! the speed of its profile. Seconds are f64.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::*;
use crate::accelerator::estimate;

const PROMPT: u32 = 500;
const OUTPUT: u32 = 200;

struct Server {
    profile: Profile,
    running: usize,
    prefill_free: f64,
    waiting: VecDeque<usize>,
}

struct Request {
    arrived: f64,
    server: usize,
    pick: Option<Pick>,
}

/// What a policy is judged by.
struct Outcomes {
    /// Requests served by each server.
    shares: Vec<usize>,
    ttft: Vec<f64>,
    total: Vec<f64>,
}

impl Outcomes {
    fn quantile(values: &mut [f64], q: f64) -> f64 {
        values.sort_by(f64::total_cmp);
        values[((values.len() - 1) as f64 * q) as usize]
    }
}

enum Policy {
    Picker,
    RoundRobin,
}

/// `arrivals` in seconds, ascending.
fn run(profiles: &[Profile], arrivals: &[f64], policy: &Policy) -> Outcomes {
    let epoch = Instant::now();
    let instant = |seconds: f64| epoch + Duration::from_secs_f64(seconds);
    let mk = |(host, profile): (u8, &Profile)| MkEndpoint {
        address: addr(host),
        profile: *profile,
        class: "",
        context: 0,
        ready: true,
    };
    let pool = mk_pool(epoch, (0..).zip(profiles).map(mk).collect());
    let server = |profile: &Profile| Server {
        profile: *profile,
        running: 0,
        prefill_free: 0.0,
        waiting: VecDeque::new(),
    };
    let mut servers: Vec<Server> = profiles.iter().map(server).collect();
    let mut requests: Vec<Request> = Vec::new();
    let mut ends: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut outcomes = Outcomes { shares: vec![0; profiles.len()], ttft: vec![], total: vec![] };
    let mut rng = rng(11);
    let nanos = |seconds: f64| (seconds * 1e9) as u64;

    let start = |now: f64, id: usize, requests: &[Request], server: &mut Server, out: &mut Outcomes| {
        server.running += 1;
        let prefill =
            f64::from(server.profile.overhead_s + estimate::prefill(&server.profile, PROMPT as f32));
        server.prefill_free = server.prefill_free.max(now) + prefill;
        let decode = estimate::decode(&server.profile, OUTPUT as f32, server.running as f32);
        let end = server.prefill_free + f64::from(decode);
        out.ttft.push(server.prefill_free - requests[id].arrived);
        out.total.push(end - requests[id].arrived);
        Reverse((nanos(end), id))
    };

    let mut next = 0;
    loop {
        let arrival = arrivals.get(next).copied();
        let end = ends.peek().map(|Reverse((at, _))| *at as f64 / 1e9);
        if let Some(now) = arrival.filter(|at| end.is_none_or(|end| *at <= end)) {
            let picked = pick(&pool, &ask(PROMPT), instant(now), &mut rng).unwrap();
            let (server, pick) = match policy {
                Policy::Picker => (pool.peek().find(picked.endpoints[0]).unwrap().0 as usize, Some(picked)),
                Policy::RoundRobin => (next % servers.len(), None),
            };
            requests.push(Request { arrived: now, server, pick });
            outcomes.shares[server] += 1;
            if (servers[server].running as f32) < servers[server].profile.useful_batch {
                ends.push(start(now, next, &requests, &mut servers[server], &mut outcomes));
            } else {
                servers[server].waiting.push_back(next);
            }
            next += 1;
        } else if let Some(Reverse((at, id))) = ends.pop() {
            let now = at as f64 / 1e9;
            requests[id].pick = None;
            let server = &mut servers[requests[id].server];
            server.running -= 1;
            if let Some(id) = server.waiting.pop_front() {
                ends.push(start(now, id, &requests, server, &mut outcomes));
            }
        } else {
            return outcomes;
        }
    }
}

/// Poisson arrivals at `rate` per second.
fn poisson(rate: f64, count: usize) -> Vec<f64> {
    let mut rng = rng(5);
    let mut now = 0.0;
    let gap = |rng: &mut fastrand::Rng| -(1.0 - rng.f64()).ln() / rate;
    (0..count)
        .map(|_| {
            now += gap(&mut rng);
            now
        })
        .collect()
}

fn speed(factor: f32) -> Profile {
    Profile {
        prefill_tokens_per_s: 4_000.0 * factor,
        overhead_s: 0.015,
        itl_s: 0.030 / factor,
        itl_per_request_s: 0.001 / factor,
        useful_batch: 8.0,
    }
}

/// Requests per second that a server of speed 1 ends with full slots.
fn capacity(profile: &Profile) -> f64 {
    f64::from(profile.useful_batch / estimate::decode(profile, OUTPUT as f32, profile.useful_batch))
}

#[test]
fn near_saturation_speeds_get_their_shares() {
    let fleet = [speed(1.0), speed(2.0), speed(4.0)];
    let total: f64 = fleet.iter().map(capacity).sum();
    let outcomes = run(&fleet, &poisson(total * 0.97, 6_000), &Policy::Picker);
    for (share, ideal) in outcomes.shares.iter().zip([1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0]) {
        let share = *share as f64 / 6_000.0;
        assert!((share / ideal - 1.0).abs() < 0.10, "{share} instead of {ideal}: {:?}", outcomes.shares);
    }
}

#[test]
fn mixed_fleets_are_faster_than_round_robin_at_every_load() {
    let fleet = [speed(1.0), speed(2.0), speed(4.0)];
    let total: f64 = fleet.iter().map(capacity).sum();
    for load in [0.3, 0.6, 0.8, 0.95] {
        let arrivals = poisson(total * load, 4_000);
        let mut ours = run(&fleet, &arrivals, &Policy::Picker);
        let mut blind = run(&fleet, &arrivals, &Policy::RoundRobin);
        for q in [0.5, 0.9] {
            let (total, other) =
                (Outcomes::quantile(&mut ours.total, q), Outcomes::quantile(&mut blind.total, q));
            assert!(total < other * 0.75, "load {load} q {q}: total {total} against {other}");
            let (ttft, other) =
                (Outcomes::quantile(&mut ours.ttft, q), Outcomes::quantile(&mut blind.ttft, q));
            assert!(ttft < other * 0.75, "load {load} q {q}: first token {ttft} against {other}");
        }
    }
}

#[test]
fn work_waits_for_no_slot_while_one_is_free() {
    let fleet = [speed(1.0), speed(2.0), speed(4.0)];
    let total: f64 = fleet.iter().map(capacity).sum();
    let mut outcomes = run(&fleet, &poisson(total * 0.7, 4_000), &Policy::Picker);
    let p99 = Outcomes::quantile(&mut outcomes.ttft, 0.99);
    assert!(p99 < 1.0, "{p99} s to the first token at 70 % load");
}
