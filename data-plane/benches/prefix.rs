//! The prefix index with ten million blocks: memory, lookups that miss all caches, and what a request costs.
//!
//! `cargo bench -p signalbox-data-plane --bench prefix`. Prints bytes a block (resident memory) once. The precise index
//! alone: `-- precise`; with a million blocks: `BLOCKS=1000000` before it.

#![expect(clippy::print_stderr, reason = "a bench tells its figures")]

mod cpu_time;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use data_plane::prefix::precise::{Event, Medium, Mirror, Precise, Runs, Stored, TokenPrompt};
use data_plane::prefix::{BLOCK, Chain, Held, Index, Matches};

const BLOCKS: usize = 10_000_000;
const ENDPOINTS: usize = 100;
/// Blocks of a prompt of 64 KB.
const PROMPT: usize = 256;

/// Resident memory in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux has this file");
    let pages: usize =
        pages.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("the second field is a number");
    pages * 4096
}

/// The chain of prompt `number`: hashes as random as real ones.
fn prompt(number: usize) -> Vec<u64> {
    let mut rng = fastrand::Rng::with_seed(number as u64);
    (0..PROMPT).map(|_| rng.u64(..)).collect()
}

fn full(prompts: usize) -> (Index, Vec<Held>) {
    let index = Index::with_limit(BLOCKS * 2);
    let held: Vec<Held> = (0..ENDPOINTS).filter_map(|_| index.register()).collect();
    for number in 0..prompts {
        held[number % ENDPOINTS].record(&prompt(number), 64.0, Some(u64::MAX));
    }
    (index, held)
}

fn index(c: &mut Criterion) {
    let prompts = BLOCKS / PROMPT;
    let before = resident();
    let (index, held) = full(prompts);
    let count: usize = held.iter().map(Held::len).sum();
    eprintln!("{count} blocks, {:.1} bytes each", (resident() - before) as f64 / count as f64);
    let mut matches = Matches::default();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut group = c.benchmark_group("prefix");
    group.bench_function("chain-64KB", |b| {
        let text = vec![b'a'; PROMPT * BLOCK];
        cpu_time::iter(b, || {
            let mut chain = Chain::new(&[b"llama", b""], text.len());
            chain.push(black_box(&text));
            chain
        });
    });
    // Each prompt is another one of 39,062: no block of it is in any cache.
    let chains: Vec<_> = (0..4_000).map(|_| prompt(rng.usize(0..prompts))).collect();
    let mut next = chains.iter().cycle();
    group.bench_function("lookup-64KB-held", |b| {
        cpu_time::iter(b, || index.lookup(next.next().expect("a cycle never ends"), &mut matches));
    });
    let halves: Vec<_> = (0..4_000)
        .map(|number| {
            [&prompt(rng.usize(0..prompts))[..PROMPT / 2], &prompt(prompts + number)[PROMPT / 2..]].concat()
        })
        .collect();
    let mut next = halves.iter().cycle();
    group.bench_function("lookup-64KB-half-held", |b| {
        cpu_time::iter(b, || index.lookup(next.next().expect("a cycle never ends"), &mut matches));
    });
    let fresh: Vec<_> = (0..4_000).map(|number| prompt(2 * prompts + number)).collect();
    let mut next = fresh.iter().cycle();
    group.bench_function("lookup-64KB-unknown", |b| {
        cpu_time::iter(b, || index.lookup(next.next().expect("a cycle never ends"), &mut matches));
    });
    let known: Vec<_> =
        (0..4_000).map(|_| rng.usize(0..prompts)).map(|number| (number, prompt(number))).collect();
    let mut next = known.iter().cycle();
    group.bench_function("record-64KB-held", |b| {
        cpu_time::iter(b, || {
            let (number, chain) = next.next().expect("a cycle never ends");
            held[number % ENDPOINTS].record(chain, 64.0, Some(u64::MAX));
        });
    });
    // The capacity is what is held: as many blocks go as come. Making up the chain is part of it, below 1 us.
    let mut number = 3 * prompts;
    group.bench_function("record-64KB-new", |b| {
        cpu_time::iter(b, || {
            number += 1;
            held[number % ENDPOINTS].record(&prompt(number), 64.0, Some(64 * (BLOCKS / ENDPOINTS) as u64));
        });
    });
    group.finish();
}

/// Tokens of a prompt of 64 KB, and blocks of 16 of them.
const TOKENS: usize = 16_384;
const ENGINE_BLOCK: usize = 16;

fn tokens(number: usize) -> Vec<u32> {
    let mut rng = fastrand::Rng::with_seed(number as u64);
    (0..TOKENS).map(|_| rng.u32(..128_000)).collect()
}

/// Prompt `number`, as an engine tells that it stored it.
fn stores(number: usize) -> Event {
    let mut rng = fastrand::Rng::with_seed(!number as u64);
    Event::Stored(Stored {
        hashes: (0..TOKENS / ENGINE_BLOCK).map(|_| rng.u64(..)).collect(),
        parent: None,
        tokens: tokens(number),
        block_size: ENGINE_BLOCK as u32,
        adapter: String::new(),
        extra: Vec::new(),
        medium: Medium::Gpu,
    })
}

fn goes(number: usize) -> Event {
    let Event::Stored(Stored { hashes, medium, .. }) = stores(number) else { unreachable!("it is stored") };
    Event::Removed { hashes, medium }
}

/// What engines tell: bytes a block, lookups, events.
fn precise(c: &mut Criterion) {
    let blocks = std::env::var("BLOCKS").ok().and_then(|blocks| blocks.parse().ok()).unwrap_or(BLOCKS);
    let prompts = blocks / (TOKENS / ENGINE_BLOCK);
    let before = resident();
    let index = Precise::with_limit(2 * blocks);
    let mirrors: Vec<Mirror> = (0..ENDPOINTS).filter_map(|_| index.mirror()).collect();
    for number in 0..prompts {
        mirrors[number % ENDPOINTS].apply(&[stores(number)]);
    }
    let count: usize = mirrors.iter().map(Mirror::len).sum();
    eprintln!("precise: {count} blocks, {:.1} bytes each", (resident() - before) as f64 / count as f64);
    let mut runs = Runs::default();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut group = c.benchmark_group("precise");
    let known: Vec<_> = (0..500).map(|_| tokens(rng.usize(0..prompts))).collect();
    let mut next = known.iter().cycle();
    group.bench_function("lookup-64KB-held", |b| {
        cpu_time::iter(b, || {
            let ids = next.next().expect("a cycle never ends");
            index.lookup(&TokenPrompt { ids, ..TokenPrompt::default() }, &mut runs);
        });
    });
    let unknown: Vec<_> = (0..500).map(|number| tokens(prompts + number)).collect();
    let mut next = unknown.iter().cycle();
    group.bench_function("lookup-64KB-unknown", |b| {
        cpu_time::iter(b, || {
            let ids = next.next().expect("a cycle never ends");
            index.lookup(&TokenPrompt { ids, ..TokenPrompt::default() }, &mut runs);
        });
    });
    // 1,024 blocks come and go again.
    let events: Vec<_> = (0..200).map(|n| [stores(2 * prompts + n), goes(2 * prompts + n)]).collect();
    let mut next = events.iter().zip(mirrors.iter().cycle()).cycle();
    group.bench_function("apply-1024-stored-and-removed", |b| {
        cpu_time::iter(b, || {
            let (events, mirror) = next.next().expect("a cycle never ends");
            mirror.apply(events)
        });
    });
    group.finish();
}

/// Hashes are their own hash.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Maps that were not chosen, asked for each block of a prompt.
fn other_maps(c: &mut Criterion) {
    let prompts = BLOCKS / PROMPT;
    let mut group = c.benchmark_group("map");
    let chains: Vec<_> = (0..4_000).map(|number| prompt(number * 7 % prompts)).collect();
    let all = || (0..prompts).flat_map(prompt).map(|hash| (hash, 1_u64));
    let before = resident();
    let map: HashMap<u64, u64, BuildHasherDefault<Same>> = all().collect();
    eprintln!("HashMap: {:.1} bytes each", (resident() - before) as f64 / map.len() as f64);
    let mut next = chains.iter().cycle();
    group.bench_function("hashmap-256-blocks", |b| {
        cpu_time::iter(b, || {
            next.next().map(|chain| chain.iter().filter_map(|hash| map.get(hash)).sum::<u64>())
        });
    });
    drop(map);
    let map: BTreeMap<u64, u64> = all().collect();
    let mut next = chains.iter().cycle();
    group.bench_function("btreemap-256-blocks", |b| {
        cpu_time::iter(b, || {
            next.next().map(|chain| chain.iter().filter_map(|hash| map.get(hash)).sum::<u64>())
        });
    });
    group.finish();
}

criterion_group!(benches, index, precise, other_maps);
criterion_main!(benches);
