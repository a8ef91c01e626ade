//! Who decides where a request goes: ours, and those it is compared with.

use std::sync::Arc;
use std::time::Instant;

use proto::tier::v1::{Accelerator, Endpoint, EndpointState, PoolName, PoolSnapshot, WatchResponse};

use crate::accelerator::{Book, GroupKey, Learned, SavedGroup};
use crate::pool::{Pool, Pools, Reading};

use super::engine::{Engine, Happened, Job, Speeds};

/// What our picker believes at the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seeds {
    /// The table of classes: right in ratios, wrong in scale for these engines.
    Table,
    /// The engines' own speeds.
    Right,
    /// Engines are taken in turn for four times as slow and four times as fast as they are.
    Wrong,
}

/// A policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// Uniform.
    Random,
    /// In turn.
    RoundRobin,
    /// Fewest requests in flight, counted where requests are sent.
    LeastRequest,
    /// 2 · queue + 2 · free KV + 3 · prefix, from the last scrape; ties at random (llm-d-router's default).
    ScorerSum,
    /// Our picker, learning.
    Ours(Seeds),
    /// Our picker with the right speeds, not learning.
    Known,
    /// Least end-to-end time of the request, from the engines' true state and the answer's true length.
    Clairvoyant,
}

/// Our picker's pool over `fleet`.
pub(super) fn pool(fleet: &[Speeds], seeds: Option<Seeds>, epoch: Instant) -> Arc<Pool> {
    let book = if seeds.is_some() { Book::new(epoch) } else { Book::frozen(epoch) };
    let factor = |index: usize| match seeds {
        Some(Seeds::Wrong) => [4.0, 1.0, 0.25][index % 3],
        _ => 1.0,
    };
    if seeds != Some(Seeds::Table) {
        let mut classes: Vec<&Speeds> = Vec::new();
        for speeds in fleet {
            if !classes.iter().any(|other| other.class == speeds.class) {
                classes.push(speeds);
            }
        }
        let group = |(index, speeds): (usize, &&Speeds)| SavedGroup {
            key: GroupKey {
                class: speeds.class.into(),
                count: 1,
                model: "ns/bed".into(),
                ..GroupKey::default()
            },
            profile: speeds.profile(factor(index)),
            samples: 0.0,
        };
        book.restore(Learned { groups: classes.iter().enumerate().map(group).collect() });
    }
    let endpoint = |(index, speeds): (usize, &Speeds)| Endpoint {
        address: format!("10.0.{}.{}", index / 250, index % 250 + 1),
        port: 8000,
        state: EndpointState::Ready.into(),
        accelerator: Some(Accelerator { class: speeds.class.into(), count: 1, memory_bytes: 0 }),
        ..Endpoint::default()
    };
    let pools = Pools::with_book(epoch, book);
    let name = Some(PoolName { namespace: "ns".into(), name: "bed".into() });
    let endpoints = fleet.iter().enumerate().map(endpoint).collect();
    let snapshot = PoolSnapshot { name, endpoints, ..PoolSnapshot::default() };
    pools.apply(WatchResponse { changed: vec![snapshot], ..WatchResponse::default() });
    pools.only().expect("one pool was applied")
}

/// llm-d-router's default: see [`Policy::ScorerSum`].
pub(super) fn scorer_sum(
    readings: &[Reading],
    cached: &[u32],
    prompt: u32,
    rng: &mut fastrand::Rng,
) -> usize {
    let queue = |reading: &Reading| f64::from(reading.waiting.unwrap_or(0));
    let most = readings.iter().map(queue).fold(f64::MIN, f64::max);
    let least = readings.iter().map(queue).fold(f64::MAX, f64::min);
    let score = |index: usize| {
        let reading = &readings[index];
        let queue = if most > least { (most - queue(reading)) / (most - least) } else { 1.0 };
        let free = 1.0 - f64::from(reading.kv_usage.unwrap_or(0.0));
        let prefix = f64::from(cached[index]) / f64::from(prompt);
        2.0 * queue + 2.0 * free + 3.0 * prefix
    };
    least_by(readings.len(), rng, |index| -score(index))
}

/// See [`Policy::Clairvoyant`]: plays the request at each engine, as if it were the last.
pub(super) fn clairvoyant(engines: &[Engine], job: Job, rng: &mut fastrand::Rng) -> usize {
    let total = |engine: &Engine| {
        let mut engine = engine.clone();
        let mut happened = Vec::new();
        engine.push(job);
        loop {
            engine.advance(engine.next(), &mut happened);
            let ended = |event: &Happened| match event {
                Happened::Ended(id, at) if *id == job.id => Some(*at - job.at),
                _ => None,
            };
            if let Some(total) = happened.iter().find_map(ended) {
                return total;
            }
        }
    };
    least_by(engines.len(), rng, |index| total(&engines[index]))
}

/// The index of the least value; ties at random.
pub(super) fn least_by(count: usize, rng: &mut fastrand::Rng, value: impl Fn(usize) -> f64) -> usize {
    let mut best = (f64::INFINITY, 0, 0);
    for index in 0..count {
        let value = value(index);
        if value < best.0 {
            best = (value, index, 1);
        } else if value <= best.0 {
            best.2 += 1;
            if rng.usize(..best.2) == 0 {
                best.1 = index;
            }
        }
    }
    best.1
}
