//! Following a directory: 1,000 files of ten objects, from the write of one file to the batch; and one large file.

use std::{
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use control_plane::source::{FileSource, Reload, parse_manifest};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_util::sync::CancellationToken;

const FILES: usize = 1_000;
const OBJECTS_PER_FILE: usize = 10;

fn route(name: &str, path: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: {name}\n  namespace: team\n\
         spec:\n  parentRefs:\n  - name: gw\n    namespace: infra\n  hostnames:\n  - models.example.com\n  rules:\n\
         \x20 - matches:\n    - path:\n        type: PathPrefix\n        value: {path}\n      headers:\n\
         \x20     - name: X-Gateway-Model-Name\n        value: llama\n    backendRefs:\n\
         \x20   - group: inference.networking.k8s.io\n      kind: InferencePool\n      name: llama\n      weight: 1\n\
         \x20   timeouts:\n      request: 60s\n"
    )
}

fn file(number: usize, path: &str) -> String {
    (0..OBJECTS_PER_FILE).map(|i| route(&format!("r-{number}-{i}"), path)).collect()
}

fn reload(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("there is a temporary directory");
    let write = |number: usize, path: &str| {
        let name = format!("d{}/f{number}.yaml", number % 10);
        std::fs::write(dir.path().join(name), file(number, path)).expect("the file can be written");
    };
    (0..10)
        .for_each(|i| std::fs::create_dir(dir.path().join(format!("d{i}"))).expect("the directory is empty"));
    (0..FILES).for_each(|i| write(i, "/v1"));

    criterion.bench_function("read a directory of 10,000 objects once", |bencher| {
        bencher.iter(|| load(dir.path()));
    });
    let runtime = Runtime::new().expect("a runtime can be made");
    let cancel = CancellationToken::new();
    let (sender, mut reloads) = mpsc::channel(1);
    let follow = FileSource::run(dir.path().to_owned(), sender, cancel.clone());
    let mut next = 1;
    runtime.block_on(async {
        tokio::pin!(follow);
        let mut reload = async |follow: &mut std::pin::Pin<&mut _>| {
            tokio::select! {
                reload = reloads.recv() => assert!(matches!(reload, Some(Reload::Loaded(_))), "{reload:?}"),
                () = follow => panic!("the source has ended"),
            }
        };
        reload(&mut follow).await;
        // Stamps of files just written prove nothing yet: the first reload reads them all once more.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let mut times = Vec::new();
        for _ in 0..30 {
            next += 1;
            let started = Instant::now();
            write(next * 31 % FILES, &format!("/v{next}"));
            reload(&mut follow).await;
            times.push(started.elapsed());
        }
        times.sort();
        report("write to batch, one file of 1,000 (30 ms of it are the wait for quiet)", &times);
    });
    cancel.cancel();
}

fn load(dir: &Path) -> usize {
    FileSource::load(dir).expect("the manifests are sound").batch.changes.len()
}

#[expect(clippy::print_stdout, reason = "a bench reports to its terminal")]
fn report(what: &str, sorted: &[Duration]) {
    let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100];
    println!("{what}: p50 {:?}, p90 {:?}, max {:?}", at(50), at(90), at(100));
}

fn large_file(criterion: &mut Criterion) {
    let mut text = String::new();
    let mut i = 0;
    while text.len() < 10 << 20 {
        write!(text, "{}", route(&format!("r-{i}"), "/v1")).expect("writing to a String cannot fail");
        i += 1;
    }
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function(format!("10 MB of {i} routes"), |bencher| {
        bencher.iter(|| parse_manifest("large.yaml", text.as_bytes()).objects.len());
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = reload, large_file
}
criterion_main!(benches);
