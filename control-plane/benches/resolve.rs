//! Resolving one Gateway with 100, 1,000 and 10,000 HTTPRoutes: all on one host, and each on its own; from scratch,
//! and after a change of one route.

use std::{hint::black_box, sync::Arc};

use control_plane::{
    api::{NamespacedName, Object},
    gateway::{Memo, Options, resolve, resolve_again},
    world::{Objects, World},
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const POOLS: usize = 1_000;

fn insert<T: Object + DeserializeOwned>(objects: &mut Objects<T>, value: Value) {
    let object: T = serde_json::from_value(value).expect("object");
    objects.insert(object.key(), Arc::new(object));
}

fn world(routes: usize, own_hosts: bool) -> World {
    let mut world = World::default();
    insert(
        &mut world.gateway_classes,
        json!({ "metadata": { "name": "c" }, "spec": { "controllerName": "bench/us" } }),
    );
    let gateway = json!({
        "metadata": { "name": "gw", "namespace": "d" },
        "spec": {
            "gatewayClassName": "c",
            "listeners": [
                { "name": "http", "port": 80, "protocol": "HTTP" },
                { "name": "example", "port": 80, "protocol": "HTTP", "hostname": "*.example.com" },
            ],
        },
    });
    insert(&mut world.gateways, gateway);
    for i in 0..POOLS {
        let pool = json!({
            "metadata": { "name": format!("pool-{i}"), "namespace": "d" },
            "spec": {
                "selector": { "matchLabels": { "pool": i.to_string() } },
                "targetPorts": [{ "number": 8000 }],
                "endpointPickerRef": { "name": format!("epp-{i}"), "port": { "number": 9002 } },
            },
        });
        insert(&mut world.pools, pool);
        let service = json!({
            "metadata": { "name": format!("epp-{i}"), "namespace": "d" },
            "spec": { "ports": [{ "port": 9002 }] },
        });
        insert(&mut world.services, service);
    }
    for i in 0..routes {
        insert(&mut world.http_routes, route(i, own_hosts));
    }
    world
}

fn route(i: usize, own_host: bool) -> Value {
    let hostnames: Vec<String> = own_host.then(|| format!("r{i}.example.com")).into_iter().collect();
    let matches = |suffix: &str| {
        json!([{
            "path": { "type": "PathPrefix", "value": "/v1" },
            "headers": [{ "name": "X-Gateway-Model-Name", "value": format!("model-{i}{suffix}") }],
        }])
    };
    let backend = |n: usize| json!({ "name": format!("pool-{}", n % POOLS), "kind": "InferencePool" });
    json!({
        "metadata": { "name": format!("route-{i}"), "namespace": "d", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": {
            "parentRefs": [{ "name": "gw" }],
            "hostnames": hostnames,
            "rules": [
                { "matches": matches(""), "backendRefs": [backend(i)] },
                { "matches": matches("-canary"), "backendRefs": [backend(i), backend(i + 1)] },
            ],
        },
    })
}

fn benches(criterion: &mut Criterion) {
    let options = Options { controller_name: "bench/us".into(), ..Options::default() };
    let gateway = NamespacedName::new("d", "gw");
    let mut group = criterion.benchmark_group("resolve");
    group.sample_size(10);
    for (name, own_hosts) in [("one_host", false), ("own_hosts", true)] {
        for routes in [100, 1_000, 10_000] {
            let mut world = world(routes, own_hosts);
            group.bench_function(BenchmarkId::new(name, routes), |bencher| {
                bencher.iter(|| black_box(resolve(&world, &gateway, &options).expect("ours")));
            });
            let mut memo = Memo::default();
            group.bench_function(BenchmarkId::new(format!("{name}_one_changed"), routes), |bencher| {
                bencher.iter(|| {
                    insert(&mut world.http_routes, route(7, own_hosts));
                    black_box(resolve_again(&world, &gateway, &options, &mut memo).expect("ours"))
                });
            });
        }
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
