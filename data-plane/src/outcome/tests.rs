use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use proto::tier::v1;

use super::Usage;
use crate::picker::tests::{mk_endpoint, mk_pool};
use crate::picker::{Ask, pick};
use crate::pool::{Pool, Pools, Slot};

fn slots(pool: &Pool) -> Vec<Arc<Slot>> {
    pool.snapshot().endpoints.iter().map(|endpoint| Arc::clone(&endpoint.slot)).collect()
}

const ASK: Ask<'static> = Ask {
    model: "m",
    prompt_tokens: 1_000,
    max_tokens: None,
    priority: 0,
    subset: None,
    role: crate::pool::Role::Serve,
    stream: true,
    policy: None,
    wishes: None,
    blocks: &[],
    block_tokens: 0.0,
    tokens: &[],
    salt: b"",
};

#[test]
fn the_account_follows_the_request() {
    let now = Instant::now();
    let pool = mk_pool(now, vec![mk_endpoint(1), mk_endpoint(2)]);
    let mut pick = pick(&pool, &ASK, now, &mut fastrand::Rng::with_seed(1)).unwrap();
    let slots = slots(&pool);
    let (first, second) = if pick.endpoints[0] == slots[0].address() { (0, 1) } else { (1, 0) };
    assert_eq!(slots[first].work(), [1, 1_000, 1_000, 200]);

    pick.outcome.served(pick.endpoints[0]);
    assert_eq!(pool.counters().moved.load(Relaxed), 0);
    pick.outcome.first_byte(now + Duration::from_millis(1));
    assert_eq!(slots[first].work(), [1, 1_000, 1_000, 200], "headers ahead of the first token");

    pick.outcome.served(pick.endpoints[1]);
    assert_eq!((slots[first].work(), slots[second].work()), ([0; 4], [1, 1_000, 1_000, 200]));
    assert_eq!(pool.counters().moved.load(Relaxed), 1);
    pick.outcome.served(SocketAddr::from(([192, 0, 2, 1], 1)));
    assert_eq!((slots[second].work()[0], pool.counters().moved_unknown.load(Relaxed)), (1, 1));
    drop(pick);
    assert_eq!((slots[first].work(), slots[second].work()), ([0; 4], [0; 4]));
}

#[test]
fn the_first_byte_releases_prefill_and_is_learned_once() {
    let now = Instant::now();
    let pool = mk_pool(now, vec![mk_endpoint(1)]);
    let mut pick = pick(&pool, &ASK, now, &mut fastrand::Rng::with_seed(1)).unwrap();
    let slot = Arc::clone(&slots(&pool)[0]);
    pick.outcome.first_byte(now + pick.expected_ttft * 3);
    assert_eq!(slot.work(), [1, 1_000, 0, 200]);
    assert!((slot.first_byte_ratio() - 1.25).abs() < 1e-3, "an eighth of the way from 1 to 3");
    pick.outcome.first_byte(now + pick.expected_ttft * 9);
    assert!((slot.first_byte_ratio() - 1.25).abs() < 1e-3);
    drop(pick);
    assert_eq!(slot.work(), [0; 4]);
}

#[test]
fn errors_in_a_row_make_an_endpoint_avoided_and_answers_end_the_row() {
    let now = Instant::now();
    let pool = mk_pool(now, vec![mk_endpoint(1)]);
    let slot = Arc::clone(&slots(&pool)[0]);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut request = |status: Option<u16>| {
        let mut pick = pick(&pool, &ASK, now, &mut rng).unwrap();
        pick.outcome.first_byte(now);
        if let Some(status) = status {
            pick.outcome.failed(status);
            pick.outcome.failed(status);
        }
    };
    let rows: [(&[Option<u16>], bool); 4] = [
        (&[Some(500), Some(503)], false),
        (&[None, Some(500), Some(502)], false),
        (&[Some(0)], true),
        (&[None, Some(404), Some(429), Some(400)], false),
    ];
    for (statuses, failing) in rows {
        statuses.iter().for_each(|status| request(*status));
        assert_eq!(slot.is_failing(now), failing, "after {statuses:?}");
    }
    assert_eq!(pool.counters().failed.load(Relaxed), 5);
}

/// What one request teaches: samples of prefill and of decode, and the length of its answer.
#[test]
fn only_first_bytes_that_are_first_tokens_teach_speeds() {
    let now = Instant::now();
    let one = |stream: bool, share: f32, elsewhere: bool, failed: bool| {
        let pools = Pools::new(now);
        let endpoint = v1::Endpoint {
            address: "10.0.0.1".into(),
            port: 8000,
            state: v1::EndpointState::Ready.into(),
            accelerator: Some(v1::Accelerator { class: "nvidia-l4".into(), count: 1, memory_bytes: 0 }),
            ..v1::Endpoint::default()
        };
        let name = Some(v1::PoolName { namespace: "ns".into(), name: "a".into() });
        let changed =
            vec![v1::PoolSnapshot { name, endpoints: vec![endpoint], ..v1::PoolSnapshot::default() }];
        assert_eq!(pools.apply(v1::WatchResponse { changed, ..Default::default() }), Vec::<String>::new());
        let pool = pools.only().unwrap();
        let ask = Ask { stream, ..ASK };
        let mut pick = pick(&pool, &ask, now, &mut fastrand::Rng::with_seed(1)).unwrap();
        if elsewhere {
            pick.outcome.prefilled_elsewhere();
        }
        let first = now + pick.expected_ttft.mul_f32(share);
        pick.outcome.first_byte(first);
        if failed {
            pick.outcome.failed(503);
        }
        let usage = Usage { output_tokens: Some(101), ..Usage::default() };
        pick.outcome.ended(first + Duration::from_secs(5), usage);
        let snapshot = pool.snapshot();
        let samples = snapshot.endpoints[0].calibration.group_samples();
        (samples.map(|samples| samples > 0.0), snapshot.usual.output() < 200.0)
    };
    for (stream, share, elsewhere, failed, expected) in [
        (true, 1.0, false, false, ([true, true], true)),
        // Response headers ahead of the first token.
        (true, 0.01, false, false, ([false, false], true)),
        (true, 1.0, true, false, ([false, false], true)),
        // The first byte is the whole answer.
        (false, 1.0, false, false, ([false, false], true)),
        (true, 1.0, false, true, ([true, false], false)),
    ] {
        assert_eq!(one(stream, share, elsewhere, failed), expected, "{stream} {share} {elsewhere} {failed}");
    }
}

/// Many threads pick, move, answer, fail and drop at once; nothing is left over.
#[test]
fn counters_return_to_zero_under_concurrency() {
    let now = Instant::now();
    let pool = mk_pool(now, (1..=5).map(mk_endpoint).collect());
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let pool = Arc::clone(&pool);
            scope.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(seed);
                let mut open = Vec::new();
                for _ in 0..3_000 {
                    let mut pick = pick(&pool, &ASK, now, &mut rng).unwrap();
                    let at = now + Duration::from_millis(rng.u64(0..3_000));
                    match rng.u8(0..5) {
                        0 => pick.outcome.served(pick.endpoints[rng.usize(0..pick.endpoints.len())]),
                        1 => pick.outcome.first_byte(at),
                        2 => pick.outcome.failed(503),
                        _ => {}
                    }
                    open.push(pick);
                    if open.len() > 20 {
                        open.swap_remove(rng.usize(0..open.len()));
                    }
                }
            });
        }
    });
    assert_eq!(pool.counters().picks.load(Relaxed), 24_000);
    for slot in slots(&pool) {
        assert_eq!(slot.work(), [0; 4]);
    }
}
