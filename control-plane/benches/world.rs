//! The reducer at the scale aimed at: 100,000 Pods, 1,000 pools, 10,000 routes, 100 Gateways.
//!
//! `spread` has a namespace for every ten pools; `crowded` has everything in one namespace under one label key.

use std::hint::black_box;

use control_plane::{
    api::{Kind, NamespacedName},
    source::{AnyObject, Batch, Change},
    world::World,
};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};

const PODS: usize = 100_000;
const POOLS: usize = 1_000;
const ROUTES: usize = 10_000;
const GATEWAYS: usize = 100;
const NODES: usize = 10_000;

#[derive(Clone, Copy)]
struct Layout {
    name: &'static str,
    namespaces: usize,
}

const LAYOUTS: [Layout; 2] =
    [Layout { name: "spread", namespaces: POOLS / 10 }, Layout { name: "crowded", namespaces: 1 }];

impl Layout {
    fn namespace(self, pool: usize) -> String {
        format!("ns-{}", pool % self.namespaces)
    }

    fn label(self, bench: &str) -> String {
        format!("{}: {bench}", self.name)
    }
}

fn object(kind: Kind, namespace: &str, name: &str, labels: &Value, mut rest: Value) -> AnyObject {
    rest["metadata"] = json!({"namespace": namespace, "name": name, "labels": labels, "generation": 1});
    AnyObject::deserialize(kind, rest).expect("the object is sound")
}

fn pod(layout: Layout, i: usize, ip: u32) -> AnyObject {
    let labels =
        json!({"app": format!("llm-{}", i % POOLS), "role": "decode", "pod-template-hash": "5d4f8c7b9"});
    let rest = json!({
        "spec": {"nodeName": format!("node-{}", i % NODES)},
        "status": {"podIP": std::net::Ipv4Addr::from(ip).to_string(), "phase": "Running",
                   "conditions": [{"type": "Ready", "status": "True"}]},
    });
    object(Kind::Pod, &layout.namespace(i % POOLS), &format!("llm-{}-{i}", i % POOLS), &labels, rest)
}

fn route(layout: Layout, i: usize, path: &str) -> AnyObject {
    let rest = json!({"spec": {
        "parentRefs": [{"name": format!("gw-{}", i % GATEWAYS), "namespace": "infra"}],
        "rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": path},
                         "headers": [{"name": "X-Gateway-Model-Name", "value": format!("m{i}")}]}],
            "backendRefs": [{"group": "inference.networking.k8s.io", "kind": "InferencePool",
                             "name": format!("llm-{}", i % POOLS)}],
        }],
    }});
    object(Kind::HTTPRoute, &layout.namespace(i % POOLS), &format!("r-{i}"), &json!({}), rest)
}

fn pool(layout: Layout, i: usize, port: u16) -> AnyObject {
    let rest = json!({"spec": {
        "selector": {"matchLabels": {"app": format!("llm-{i}")}},
        "targetPorts": [{"number": port}],
        "endpointPickerRef": {"name": format!("epp-{i}"), "port": {"number": 9002}},
    }});
    object(Kind::InferencePool, &layout.namespace(i), &format!("llm-{i}"), &json!({}), rest)
}

fn node(i: usize, product: &str) -> AnyObject {
    object(Kind::Node, "", &format!("node-{i}"), &json!({"nvidia.com/gpu.product": product}), json!({}))
}

fn objects(layout: Layout) -> Vec<AnyObject> {
    let gateway = |i| {
        let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
        let rest = json!({"spec": {"gatewayClassName": "signalbox", "listeners": listeners}});
        object(Kind::Gateway, "infra", &format!("gw-{i}"), &json!({}), rest)
    };
    let mut objects: Vec<_> = (0..GATEWAYS).map(gateway).collect();
    objects.extend((0..POOLS).map(|i| pool(layout, i, 8000)));
    objects.extend((0..ROUTES).map(|i| route(layout, i, "/v1")));
    objects.extend((0..NODES).map(|i| node(i, "NVIDIA-H100")));
    objects.extend((0..PODS).map(|i| pod(layout, i, 0x0a00_0000)));
    objects
}

/// Measures `World::apply` of two batches in turn, so that each application is a change.
fn change(criterion: &mut Criterion, layout: Layout, name: &str, world: &World, batches: &[Batch; 2]) {
    let mut world = world.clone();
    let mut turn = 0;
    criterion.bench_function(&layout.label(name), |bencher| {
        bencher.iter(|| {
            let (next, dirty) = world.apply(black_box(&batches[turn]));
            assert!(!dirty.is_empty(), "a change that is none is not worth measuring");
            world = next;
            turn = 1 - turn;
            dirty
        });
    });
}

fn one(object: AnyObject) -> Batch {
    [Change::Apply(object)].into_iter().collect()
}

fn world(criterion: &mut Criterion) {
    for layout in LAYOUTS {
        let all = Batch::replace_all(objects(layout));
        criterion.bench_function(&layout.label("load everything"), |bencher| {
            bencher.iter(|| World::default().apply(black_box(&all)));
        });
        let (world, _) = World::default().apply(&all);
        criterion.bench_function(&layout.label("re-list of everything, unchanged"), |bencher| {
            bencher.iter(|| world.apply(black_box(&all)));
        });
        let pods = [1, 2].map(|ip| one(pod(layout, 4711, 0x0a00_0000 + ip)));
        change(criterion, layout, "one Pod", &world, &pods);
        change(criterion, layout, "one Node", &world, ["A100", "L4"].map(|product| one(node(7, product))));
        change(
            criterion,
            layout,
            "one route",
            &world,
            ["/a", "/b"].map(|path| one(route(layout, 4711, path))),
        );
        change(criterion, layout, "one pool's port", &world, [1, 2].map(|port| one(pool(layout, 7, port))));
        let name = NamespacedName::new(layout.namespace(7), "llm-7");
        criterion.bench_function(&layout.label("pods_of a pool"), |bencher| {
            bencher.iter(|| world.pods_of(black_box(&name)).filter(|pod| pod.is_ready()).count());
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = world
}
criterion_main!(benches);
