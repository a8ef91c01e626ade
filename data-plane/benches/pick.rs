//! One pick and its end among 10, 100 and 1,000 endpoints: four accelerator classes, fresh readings, LoRA adapters,
//! three hundred requests in flight.

mod cpu_time;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use data_plane::accelerator::Totals;
use data_plane::picker::{Ask, SubsetEntry, pick};
use data_plane::pool::{Adapters, Pool, Pools, Reading};
use proto::tier::v1::{Accelerator, Endpoint, EndpointState, PoolName, PoolSnapshot, WatchResponse};

const CLASSES: [&str; 4] = ["nvidia-h100-80gb", "nvidia-a100-80gb", "nvidia-l40s", "nvidia-l4"];

fn pool(count: u32, now: Instant) -> Arc<Pool> {
    let pools = Pools::new(now);
    let endpoint = |index: u32| Endpoint {
        address: format!("10.0.{}.{}", index / 250, index % 250 + 1),
        port: 8000,
        state: EndpointState::Ready.into(),
        engine: "vllm".into(),
        accelerator: Some(Accelerator {
            class: CLASSES[index as usize % CLASSES.len()].into(),
            count: 1,
            memory_bytes: 0,
        }),
        ..Endpoint::default()
    };
    let name = Some(PoolName { namespace: "ns".into(), name: "a".into() });
    let endpoints = (0..count).map(endpoint).collect();
    let pool = PoolSnapshot { name, revision: 1, endpoints, ..PoolSnapshot::default() };
    pools.apply(WatchResponse { changed: vec![pool], ..WatchResponse::default() });
    let pool = pools.only().expect("one pool was applied");
    let adapters = |names: &[&str]| {
        let mut running: Vec<u64> = names.iter().map(|name| Adapters::hash(name.as_bytes())).collect();
        running.sort_unstable();
        Adapters { max: 4, running, waiting: vec![] }
    };
    for (index, endpoint) in pool.snapshot().endpoints.iter().enumerate() {
        let reading = Reading {
            running: Some(index as u32 % 13),
            waiting: Some(0),
            kv_usage: Some(0.3),
            kv_tokens: Some(400_000),
            totals: Totals::default(),
            adapters: Some(if index % 2 == 0 { adapters(&["sql", "chat"]) } else { adapters(&["law"]) }),
            ..Reading::default()
        };
        endpoint.slot.store(reading, now);
    }
    pool
}

fn picks(c: &mut Criterion) {
    let now = Instant::now();
    let ask = Ask { model: "llama", prompt_tokens: 700, ..Ask::default() };
    let mut group = c.benchmark_group("pick");
    for count in [10, 100, 1_000] {
        let pool = pool(count, now);
        let mut rng = fastrand::Rng::with_seed(1);
        let held: Vec<_> = (0..300).filter_map(|_| pick(&pool, &ask, now, &mut rng).ok()).collect();
        group.bench_function(BenchmarkId::new("all", count), |b| {
            cpu_time::iter(b, || pick(&pool, black_box(&ask), now, &mut rng));
        });
        let subset: Vec<SubsetEntry> = pool
            .snapshot()
            .endpoints
            .iter()
            .step_by(2)
            .map(|endpoint| SubsetEntry { ip: endpoint.address().ip(), port: Some(8000) })
            .collect();
        let limited = Ask { subset: Some(&subset), ..ask };
        group.bench_function(BenchmarkId::new("subset-of-half", count), |b| {
            cpu_time::iter(b, || pick(&pool, black_box(&limited), now, &mut rng));
        });
        drop(held);
    }
    group.finish();
}

criterion_group!(benches, picks);
criterion_main!(benches);
