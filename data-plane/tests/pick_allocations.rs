//! What a pick allocates: nothing. Nor does admission while nobody waits.

use std::sync::Arc;
use std::time::Instant;

use data_plane::flow::{Admission, Gate, Request, Settings};
use data_plane::metrics::Metrics;
use data_plane::picker::{Ask, pick};
use data_plane::pool::{Pool, Pools, Reading};
use proto::tier::v1::{Endpoint, EndpointState, PoolName, PoolSnapshot, WatchResponse};

fn pool(count: u32) -> Arc<Pool> {
    let pools = Pools::new(Instant::now());
    let endpoint = |index: u32| Endpoint {
        address: format!("10.0.{}.{}", index / 250, index % 250 + 1),
        port: 8000,
        state: EndpointState::Ready.into(),
        ..Endpoint::default()
    };
    let name = Some(PoolName { namespace: "ns".into(), name: "a".into() });
    let pool =
        PoolSnapshot { name, endpoints: (0..count).map(endpoint).collect(), ..PoolSnapshot::default() };
    pools.apply(WatchResponse { changed: vec![pool], ..WatchResponse::default() });
    pools.only().expect("one pool was applied")
}

#[test]
fn a_pick_allocates_nothing() {
    let now = Instant::now();
    let mut rng = fastrand::Rng::with_seed(1);
    let ask = Ask { model: "llama", prompt_tokens: 700, ..Ask::default() };
    for count in [1, 10, 1_000] {
        let pool = pool(count);
        for endpoint in &pool.snapshot().endpoints {
            endpoint
                .slot
                .store(Reading { running: Some(3), kv_tokens: Some(9_000), ..Reading::default() }, now);
        }
        // The scratch grows once.
        drop(pick(&pool, &ask, now, &mut rng));
        let info = allocation_counter::measure(|| {
            for _ in 0..100 {
                drop(pick(&pool, &ask, now, &mut rng).expect("there are endpoints"));
            }
        });
        // The endpoints fit in place, and the account is two reference counts.
        assert_eq!(info.count_total, 0, "in 100 picks of {count}");
    }
}

#[test]
fn a_prompt_that_is_known_everywhere_allocates_nothing() {
    let now = Instant::now();
    let mut rng = fastrand::Rng::with_seed(1);
    let blocks: Vec<u64> = (0..200).map(|_| rng.u64(..)).collect();
    let ask =
        Ask { model: "llama", prompt_tokens: 12_800, blocks: &blocks, block_tokens: 64.0, ..Ask::default() };
    let pool = pool(100);
    // Every endpoint was sent it, and the scratch has grown.
    for endpoint in &pool.snapshot().endpoints {
        endpoint.slot.held().expect("slots of pools are indexed").record(&blocks, 64.0, None);
    }
    drop(pick(&pool, &ask, now, &mut rng));
    let info = allocation_counter::measure(|| {
        for _ in 0..100 {
            drop(pick(&pool, &ask, now, &mut rng).expect("there are endpoints"));
        }
    });
    assert_eq!(info.count_total, 0, "in 100 picks");
}

#[test]
fn admission_allocates_nothing_while_nobody_waits() {
    let now = Instant::now();
    for count in [1, 100] {
        let pool = pool(count);
        let snapshot = pool.snapshot();
        for endpoint in &snapshot.endpoints {
            let reading = Reading { running: Some(3), waiting: Some(0), ..Reading::default() };
            endpoint.slot.store(reading, now);
        }
        let metrics = Metrics::new();
        let gate = Gate::new(Arc::clone(&pool), Settings::default(), Arc::default(), metrics.flow("ns/a"));
        let request = Request { tokens: 900, bytes: 3_000, ..Request::default() };
        // The pool's annotations are read once.
        drop(gate.admit(&snapshot, &request, now));
        let info = allocation_counter::measure(|| {
            for _ in 0..100 {
                let admission = gate.admit(&snapshot, &request, now);
                assert!(matches!(admission, Admission::Admitted(_)));
            }
        });
        assert_eq!(info.count_total, 0, "in 100 admissions to {count}");
    }
}
