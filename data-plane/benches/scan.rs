//! A page of vLLM with 54 KB, as one chunk and as the 1,448 bytes of a TCP segment.

mod cpu_time;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use data_plane::scrape::{Scanner, engine_named};

const PAGE: &str = include_str!("vllm-page.txt");

fn scans(c: &mut Criterion) {
    let mut group = c.benchmark_group("scan");
    group.throughput(Throughput::Bytes(PAGE.len() as u64));
    for (name, engine, size) in
        [("vllm", "vllm", usize::MAX), ("vllm-segments", "vllm", 1_448), ("unknown-engine", "", usize::MAX)]
    {
        let mut scanner = Scanner::new(engine_named(engine));
        group.bench_function(name, |b| {
            cpu_time::iter(b, || {
                for chunk in black_box(PAGE.as_bytes()).chunks(size.min(PAGE.len())) {
                    scanner.feed(chunk);
                }
                scanner.finish()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, scans);
criterion_main!(benches);
