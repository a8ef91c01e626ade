//! Admission and its end: while nobody waits, while all endpoints but one are full, and through the queue.

mod cpu_time;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use data_plane::flow::{Admission, Fullness, Gate, Request, Settings};
use data_plane::metrics::Metrics;
use data_plane::pool::{Pool, Pools, Reading};
use proto::tier::v1::{Endpoint, EndpointState, PoolName, PoolSnapshot, WatchResponse};

/// Endpoints that run one request each; all but the last of `idle` tell that they are full.
fn pool(count: u32, idle: u32, now: Instant) -> Arc<Pool> {
    let pools = Pools::new(now);
    let endpoint = |index: u32| Endpoint {
        address: format!("10.0.{}.{}", index / 250, index % 250 + 1),
        port: 8000,
        state: EndpointState::Ready.into(),
        ..Endpoint::default()
    };
    let name = Some(PoolName { namespace: "ns".into(), name: "a".into() });
    let endpoints = (0..count).map(endpoint).collect();
    let pool = PoolSnapshot { name, revision: 1, endpoints, ..PoolSnapshot::default() };
    pools.apply(WatchResponse { changed: vec![pool], ..WatchResponse::default() });
    let pool = pools.only().expect("one pool was applied");
    for (index, endpoint) in (0_u32..).zip(&pool.snapshot().endpoints) {
        let waiting = u32::from(index < count - idle);
        let reading = || Reading { running: Some(1), waiting: Some(waiting), ..Reading::default() };
        endpoint.slot.store(reading(), now);
        endpoint.slot.store(reading(), now);
    }
    pool
}

fn gate(pool: &Arc<Pool>, metrics: &Metrics) -> Gate {
    let settings = Settings { fullness: Fullness { queue: 0, kv: 0.9 }, ..Settings::default() };
    Gate::new(Arc::clone(pool), settings, Arc::default(), metrics.flow("ns/a"))
}

fn admissions(c: &mut Criterion) {
    let now = Instant::now();
    let metrics = Metrics::new();
    let request = Request { tokens: 900, bytes: 3_000, ..Request::default() };
    let mut group = c.benchmark_group("flow");
    for count in [10, 100, 1_000] {
        for (name, idle) in [("free", count), ("last-place", 1)] {
            let pool = pool(count, idle, now);
            let (gate, snapshot) = (gate(&pool, &metrics), pool.snapshot());
            group.bench_function(BenchmarkId::new(name, count), |b| {
                cpu_time::iter(b, || gate.admit(&snapshot, black_box(&request), now));
            });
        }
        // Nothing fits: in, counted, and out again because the client leaves.
        let pool = pool(count, 0, now);
        let (gate, snapshot) = (gate(&pool, &metrics), pool.snapshot());
        let behind: Vec<Admission> = (0..1_000)
            .map(|tenant| gate.admit(&snapshot, &Request { tenant: tenant % 50, ..request }, now))
            .collect();
        group.bench_function(BenchmarkId::new("queue-in-and-out", count), |b| {
            cpu_time::iter(b, || gate.admit(&snapshot, black_box(&request), now));
        });
        drop(behind);
    }
    group.finish();
}

criterion_group!(benches, admissions);
criterion_main!(benches);
