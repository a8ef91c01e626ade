//! Prompts that were sent before, through real pools.

use proto::tier::v1::{Endpoint, EndpointState, PoolName, PoolSnapshot, WatchResponse};

use super::*;
use crate::pool::Pools;
use crate::prefix::Chain;
use crate::prefix::precise::{Event, Medium, Stored, Trust};

fn response(pods: &[(u8, &str)]) -> WatchResponse {
    let endpoint = |(host, pod): &(u8, &str)| Endpoint {
        address: addr(*host).ip().to_string(),
        port: 8000,
        pod: (*pod).to_owned(),
        state: EndpointState::Ready.into(),
        ..Endpoint::default()
    };
    let name = Some(PoolName { namespace: "ns".into(), name: "a".into() });
    let endpoints = pods.iter().map(endpoint).collect();
    WatchResponse {
        changed: vec![PoolSnapshot { name, endpoints, ..PoolSnapshot::default() }],
        ..WatchResponse::default()
    }
}

/// The chain of a prompt of `bytes` bytes.
fn chain(seed: u8, bytes: usize) -> Chain {
    let mut chain = Chain::new(&[b"llama"], bytes);
    chain.push(&vec![seed; bytes]);
    chain
}

fn asking(chain: &Chain) -> Ask<'_> {
    let tokens = chain.bytes() as u32 / 4;
    Ask { blocks: chain.blocks(), block_tokens: chain.block_tokens(tokens), ..ask(tokens) }
}

#[test]
fn a_prompt_goes_where_its_beginning_is_and_is_prefilled_in_part() {
    let now = Instant::now();
    let pools = Pools::new(now);
    pools.apply(response(&[(1, "a"), (2, "b"), (3, "c")]));
    let pool = pools.only().unwrap();
    let (long, short) = (chain(b'x', 65_600), chain(b'x', 32_768));
    let first = pick(&pool, &asking(&short), now, &mut rng(1)).unwrap();
    assert_eq!(first.cached_tokens, 0, "nothing was sent before");
    let home = first.endpoints[0];
    drop(first);
    for seed in 0..20 {
        let again = pick(&pool, &asking(&long), now, &mut rng(seed)).unwrap();
        let expected = if seed == 0 { 8_192 } else { 16_384 };
        assert_eq!((again.endpoints[0], again.cached_tokens), (home, expected));
        let slot = pool.slot(home).unwrap();
        assert_eq!(slot.work()[2], 16_400 - u64::from(expected), "only the rest is to be computed");
    }
    let all = explain(&pool, &asking(&long), now).endpoints;
    assert_eq!(all.iter().map(|e| e.cached_tokens).collect::<Vec<_>>(), [16_384, 0, 0]);
    assert_eq!(all[0].address, home);
}

#[test]
fn the_last_token_is_always_computed_and_engines_cache_whole_blocks() {
    let now = Instant::now();
    let pools = Pools::new(now);
    pools.apply(response(&[(1, "a")]));
    let pool = pools.only().unwrap();
    let prompt = chain(b'x', 4_096);
    drop(pick(&pool, &asking(&prompt), now, &mut rng(1)));
    let cached = || pick(&pool, &asking(&prompt), now, &mut rng(1)).unwrap().cached_tokens;
    assert_eq!(cached(), 1_008, "1,023 in blocks of 16");
    slot(&pool, 1).store(Reading { kv_block: Some(528), ..Reading::default() }, now);
    assert_eq!(cached(), 528);
    slot(&pool, 1).store(Reading { kv_block: Some(1), ..Reading::default() }, now);
    assert_eq!(cached(), 1_023);
}

#[test]
fn what_a_pod_held_goes_with_it() {
    let now = Instant::now();
    let pools = Pools::new(now);
    let prompt = chain(b'x', 8_192);
    let cached = || {
        let pool = pools.only().unwrap();
        explain(&pool, &asking(&prompt), now).endpoints.iter().map(|e| e.cached_tokens).max().unwrap()
    };
    let send = || drop(pick(&pools.only().unwrap(), &asking(&prompt), now, &mut rng(1)).unwrap());
    pools.apply(response(&[(1, "a")]));
    send();
    assert_eq!(cached(), 2_032);
    pools.apply(response(&[(1, "a"), (2, "b")]));
    assert_eq!(cached(), 2_032, "another endpoint came");
    pools.apply(response(&[(1, "c")]));
    assert_eq!(cached(), 0, "another Pod at the address");
    send();
    pools.apply(response(&[(2, "b")]));
    pools.apply(response(&[(1, "c")]));
    assert_eq!(cached(), 0, "it left and came back");
    send();
    slot(&pools.only().unwrap(), 1).emptied();
    assert_eq!(cached(), 0, "it refused connections");
}

#[test]
fn the_endpoint_that_served_holds_the_prompt_and_reports_are_believed() {
    let now = Instant::now();
    let pools = Pools::new(now);
    pools.apply(response(&[(1, "a"), (2, "b")]));
    let pool = pools.only().unwrap();
    let prompt = chain(b'x', 8_192);
    let mut first = pick(&pool, &asking(&prompt), now, &mut rng(1)).unwrap();
    let other = first.endpoints[1];
    first.outcome.sent(prompt.blocks().to_vec().into(), 64.0);
    first.outcome.served(other);
    drop(first);
    let held = |address| {
        explain(&pool, &asking(&prompt), now)
            .endpoints
            .iter()
            .find(|e| e.address == address)
            .unwrap()
            .cached_tokens
    };
    assert_eq!(held(other), 2_032);
    for seed in 0..300 {
        pick(&pool, &asking(&prompt), now, &mut rng(seed)).unwrap().outcome.reported(0);
    }
    assert!(held(addr(1)).max(held(addr(2))) < 64, "engines that cache nothing attract nothing");
}

/// Blocks of 16 of `tokens`, as an engine tells that it stored them.
fn stores(tokens: &[u32]) -> Event {
    Event::Stored(Stored {
        hashes: (0..tokens.len() as u64 / 16).collect(),
        parent: None,
        tokens: tokens.to_vec(),
        block_size: 16,
        adapter: String::new(),
        extra: Vec::new(),
        medium: Medium::Gpu,
    })
}

#[test]
fn what_engines_tell_goes_before_what_was_sent_as_far_as_it_is_trusted() {
    let now = Instant::now();
    let pools = Pools::new(now);
    pools.apply(response(&[(1, "a"), (2, "b")]));
    let pool = pools.only().unwrap();
    let tokens: Vec<u32> = (0..4_096).collect();
    let text = chain(b'x', 16_384);
    let known = Ask { tokens: &tokens, ..asking(&text) };
    let told = pool.slot(addr(2)).unwrap();
    let mirror = told.mirror().unwrap();
    // The first was sent the prompt before; the second had it from others.
    let sent = Ask { subset: Some(&[SubsetEntry { ip: addr(1).ip(), port: None }]), ..asking(&text) };
    drop(pick(&pool, &sent, now, &mut rng(1)).unwrap());
    mirror.apply(&[stores(&tokens[..3_200])]);
    let cached = |ask: &Ask<'_>| {
        let mut all = explain(&pool, ask, now).endpoints;
        all.sort_by_key(|explained| explained.address);
        [all[0].cached_tokens, all[1].cached_tokens]
    };
    assert_eq!(cached(&known), [4_080, 0], "nobody keeps the mirror true");
    for trust in [Trust::Partial, Trust::Complete] {
        mirror.set_trust(trust);
        assert_eq!(cached(&known), [4_080, 3_200]);
        assert_eq!(cached(&asking(&text)), [4_080, 0], "text has no known tokens");
    }
    // A complete mirror also knows what is not held.
    pool.slot(addr(1)).unwrap().mirror().unwrap().set_trust(Trust::Complete);
    assert_eq!(cached(&known), [0, 3_200]);
    // Until the first byte, what is being computed counts.
    let mut first = pick(&pool, &known, now, &mut rng(1)).unwrap();
    assert_eq!((first.endpoints[0], first.cached_tokens), (addr(2), 3_200));
    assert_eq!(cached(&known), [0, 4_080]);
    first.outcome.first_byte(now);
    assert_eq!(cached(&known), [0, 3_200], "now the engine tells");
    mirror.apply(&[Event::Cleared]);
    assert_eq!(cached(&known), [0, 0]);
}

#[test]
fn endpoints_that_publish_are_known_by_annotation() {
    let now = Instant::now();
    let pools = Pools::new(now);
    let mut response = response(&[(1, "a")]);
    let annotations = &mut response.changed[0].annotations;
    annotations.insert("signalbox.dev/kv-events".into(), "tcp://*:5557".into());
    annotations.insert("signalbox.dev/kv-events-replay".into(), "tcp://events:5558".into());
    let problems = pools.apply(response);
    assert!(problems.len() == 1 && problems[0].contains("kv-events-replay"), "{problems:?}");
    let snapshot = pools.only().unwrap().snapshot();
    let publisher = snapshot.publishers[&addr(1)];
    assert_eq!((publisher.events.to_string(), publisher.replay), (format!("{}:5557", addr(1).ip()), None));
}
