//! Policies: classes, targets, prices.

use proto::tier::v1;

use super::*;
use crate::accelerator::{Book, Optimize, Policy, Wishes, policy_from};
use crate::pool::Pools;

const H100: u8 = 1;
const A100: u8 = 2;
const L4: u8 = 3;

fn mixed(now: Instant) -> Arc<Pool> {
    let classes = ["nvidia-h100-80gb", "nvidia-a100-80gb", "nvidia-l4"];
    mk_pool(now, (1..).zip(classes).map(|(host, class)| mk_class(host, class)).collect())
}

fn policy(annotations: &[(&str, &str)]) -> Policy {
    let annotations =
        annotations.iter().map(|(key, value)| (format!("signalbox.dev/{key}"), (*value).to_owned()));
    let (policy, problems) = policy_from(&annotations.collect());
    assert!(problems.is_empty(), "{problems:?}");
    policy
}

#[test]
fn each_policy_has_its_class() {
    let now = Instant::now();
    let pool = mixed(now);
    let prices = ("accelerator-prices", "h100=4,a100=2,l4=0.5");
    type Row<'a> = (&'a [(&'a str, &'a str)], i32, u8);
    let table: [Row<'_>; 12] = [
        (&[], 0, H100),
        (&[("optimize", "latency"), prices], 0, H100),
        // 300 prompt tokens take an L4 about 0.1 s, and its tokens come every 67 ms.
        (&[("optimize", "cost"), prices], 0, L4),
        (&[("optimize", "cost")], 0, L4),
        (&[("optimize", "cost"), prices, ("itl-target", "50ms")], 0, A100),
        (&[("optimize", "cost"), prices, ("itl-target", "9ms")], 0, H100),
        (&[("optimize", "cost"), prices, ("ttft-target", "50ms")], 0, A100),
        (&[("optimize", "cost"), prices, ("ttft-target", "1ms")], 0, H100),
        (&[prices], -1, L4),
        (&[prices], 1, H100),
        (&[("accelerators", "l4,a100")], 0, A100),
        (&[("preferred-accelerators", "l4,a100")], 0, L4),
    ];
    for (annotations, priority, host) in table {
        let policy = policy(annotations);
        let ask = Ask { policy: Some(&policy), priority, ..ask(300) };
        assert_eq!(choices(&pool, &ask, now), [host], "{annotations:?} at priority {priority}");
    }
}

#[test]
fn cheap_classes_spill_upwards_when_they_would_miss_the_target() {
    let now = Instant::now();
    let pool = mixed(now);
    let policy = policy(&[
        ("optimize", "cost"),
        ("accelerator-prices", "h100=4,a100=2,l4=0.5"),
        ("ttft-target", "1s"),
    ]);
    let ask = Ask { policy: Some(&policy), ..ask(300) };
    assert_eq!(choices(&pool, &ask, now), [L4]);
    let held = occupy(&pool, L4, 16, now);
    assert_eq!(choices(&pool, &ask, now), [A100], "sixteen prompts take the L4 longer than a second");
    let patient = Ask { priority: -1, ..ask };
    assert_eq!(choices(&pool, &patient, now), [L4], "sheddable requests stay for longer");
    let more = (occupy(&pool, A100, 400, now), occupy(&pool, H100, 900, now));
    assert_eq!(choices(&pool, &ask, now + Duration::from_millis(1)).len(), 1, "all miss it: fewest seconds");
    drop((held, more));
}

#[test]
fn headers_go_before_annotations() {
    let now = Instant::now();
    let pool = mixed(now);
    let policy = policy(&[("optimize", "cost"), ("accelerators", "l4,a100")]);
    let picked = |headers: &[(&str, &str)]| {
        let mut wishes = Wishes::default();
        for (name, value) in headers {
            assert!(wishes.take(name.as_bytes(), value.as_bytes()), "{name}");
        }
        choices(&pool, &Ask { policy: Some(&policy), wishes: Some(&wishes), ..ask(300) }, now)
    };
    assert_eq!(picked(&[]), [L4]);
    assert_eq!(picked(&[("x-signalbox-optimize", "latency")]), [A100]);
    assert_eq!(picked(&[("x-slo-tpot-ms", "40")]), [A100]);
    assert_eq!(picked(&[("x-signalbox-accelerators", "h100")]), [H100]);
    assert_eq!(picked(&[("x-signalbox-optimize", "fastest")]), [L4], "words that mean nothing are ignored");
    let wishes = Wishes { required: Some("tpu".into()), ..Wishes::default() };
    let refused = pick(&pool, &Ask { wishes: Some(&wishes), ..ask(1) }, now, &mut rng(1)).unwrap_err();
    assert_eq!(refused, Refusal::SubsetEmpty);
    let limited = Ask { policy: Some(&policy), ..ask(300) };
    let verdicts: Vec<Verdict> = explain(&pool, &limited, now).endpoints.iter().map(|e| e.verdict).collect();
    assert_eq!(verdicts, [Verdict::Candidate, Verdict::Candidate, Verdict::OtherClass]);
}

#[test]
fn contexts_bound_prompts() {
    let now = Instant::now();
    let short = MkEndpoint { context: 4_096, ..mk_class(1, "nvidia-h100-80gb") };
    let pool = mk_pool(now, vec![short, mk_class(2, "nvidia-l4")]);
    assert_eq!(choices(&pool, &ask(4_095), now), [1]);
    assert_eq!(choices(&pool, &ask(4_096), now), [2], "no token of answer would fit");
}

/// A pool of `classes` at hosts 1, 2 and so on, with a prefix index and speeds that stay.
fn indexed(now: Instant, classes: &[&str]) -> Arc<Pool> {
    let pools = Pools::with_book(now, Book::frozen(now));
    let endpoint = |(host, class): (u8, &&str)| v1::Endpoint {
        address: addr(host).ip().to_string(),
        port: 8000,
        state: v1::EndpointState::Ready.into(),
        accelerator: Some(v1::Accelerator { class: (*class).into(), count: 1, memory_bytes: 0 }),
        ..v1::Endpoint::default()
    };
    let name = Some(v1::PoolName { namespace: "ns".into(), name: "a".into() });
    let endpoints = (1..).zip(classes).map(endpoint).collect();
    let changed = vec![v1::PoolSnapshot { name, endpoints, ..v1::PoolSnapshot::default() }];
    assert_eq!(
        pools.apply(v1::WatchResponse { changed, ..v1::WatchResponse::default() }),
        Vec::<String>::new()
    );
    pools.only().unwrap()
}

#[test]
fn cached_tokens_are_seconds_saved_and_more_of_them_where_prefill_is_slow() {
    let now = Instant::now();
    let blocks: Vec<u64> = (1..=125).map(|n: u64| n << 32 | n).collect();
    let prompt = Ask { blocks: &blocks, block_tokens: 64.0, ..ask(8_000) };
    // The first `count` blocks were sent to `host`.
    let fleet = |host, count: usize| {
        let pool = indexed(now, &["nvidia-h100-80gb", "nvidia-h100-80gb", "nvidia-l4"]);
        slot(&pool, host).held().unwrap().record(&blocks[..count], 64.0, None);
        pool
    };
    let pool = fleet(2, 94);
    assert_eq!(choices(&pool, &prompt, now), [2]);
    let held = occupy(&pool, 2, 30, now);
    assert_eq!(choices(&pool, &prompt, now), [1], "thirty prompts ahead cost more than the hit saves");
    drop(held);
    // 8000 tokens take the L4 more than 2 s, of which all but 40 ms are saved.
    let wishes = Wishes { optimize: Some(Optimize::Cost), ..Wishes::default() };
    let cheap = Ask { wishes: Some(&wishes), ..prompt };
    assert_eq!(choices(&fleet(3, 125), &cheap, now), [3]);
    assert_ne!(choices(&fleet(3, 0), &cheap, now), [3]);
}
