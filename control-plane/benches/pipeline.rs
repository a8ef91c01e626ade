//! From objects to bytes: everything between a batch of changes and what Envoys and pickers are sent.
//!
//! `translate/N`: resolve and translate N HTTPRoutes on one Gateway from nothing. `route_change/N`: one of N routes
//! changes. `own_host/N`: a route with a hostname of its own comes or goes beside N such routes.
//! `endpoint_change/N`: one Pod of N (in 1,000 pools, beside 10,000 routes) comes or goes. `big_pool/N`: one Pod of a
//! pool's N comes or goes.

use std::{hint::black_box, time::Duration};

use control_plane::{
    gateway,
    pipeline::Pipeline,
    source::{AnyObject, Batch, Change},
    translate,
};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const POOLS: usize = 1_000;

fn object<T: DeserializeOwned + Into<AnyObject>>(value: Value) -> AnyObject {
    serde_json::from_value::<T>(value).expect("the fixture is an object of its kind").into()
}

fn meta(name: &str) -> Value {
    json!({ "name": name, "namespace": "default", "generation": 1 })
}

fn gateway_objects() -> Vec<AnyObject> {
    use control_plane::api::{Gateway, GatewayClass};
    vec![
        object::<GatewayClass>(json!({
            "metadata": { "name": "signalbox" },
            "spec": { "controllerName": "signalbox.dev/gateway-controller" },
        })),
        object::<Gateway>(json!({
            "metadata": meta("gw"),
            "spec": { "gatewayClassName": "signalbox", "listeners": [{ "name": "http", "port": 80, "protocol": "HTTP" }] },
        })),
    ]
}

fn pool(i: usize) -> AnyObject {
    object::<control_plane::api::InferencePool>(json!({
        "metadata": { "name": format!("pool-{i}"), "namespace": "default", "generation": 1,
                      "annotations": { "signalbox.dev/picker": "managed" } },
        "spec": {
            "selector": { "matchLabels": { "app": format!("pool-{i}") } },
            "targetPorts": [{ "number": 8000 }],
        },
    }))
}

/// One route: a model of its own, to a pool; routes are spread over ten hostnames.
fn route(i: usize, path: &str) -> AnyObject {
    object::<control_plane::api::HttpRoute>(json!({
        "metadata": meta(&format!("route-{i}")),
        "spec": {
            "parentRefs": [{ "name": "gw" }],
            "hostnames": [format!("host-{}.example.com", i % 10)],
            "rules": [{
                "matches": [{
                    "path": { "type": "PathPrefix", "value": path },
                    "headers": [{ "name": "X-Gateway-Model-Name", "value": format!("model-{i}") }],
                }],
                "backendRefs": [{ "name": format!("pool-{}", i % POOLS), "kind": "InferencePool" }],
            }],
        },
    }))
}

fn pod(i: usize, pools: usize) -> AnyObject {
    object::<control_plane::api::Pod>(json!({
        "metadata": { "name": format!("pod-{i}"), "namespace": "default", "generation": 1,
                      "labels": { "app": format!("pool-{}", i % pools) } },
        "spec": { "nodeName": "node-1" },
        "status": {
            "podIP": format!("10.{}.{}.{}", i >> 16 & 255, i >> 8 & 255, i & 255),
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    }))
}

fn world(routes: usize, pods: usize) -> Vec<AnyObject> {
    let mut objects = gateway_objects();
    objects.extend((0..POOLS.min(routes)).map(pool));
    objects.extend((0..routes).map(|i| route(i, "/")));
    objects.extend((0..pods).map(|i| pod(i, POOLS)));
    objects
}

fn options() -> gateway::Options {
    gateway::Options {
        controller_name: control_plane::config::CONTROLLER_NAME.into(),
        ..gateway::Options::default()
    }
}

fn loaded(objects: Vec<AnyObject>) -> Pipeline {
    let mut pipeline = Pipeline::new(options(), translate::Settings::default());
    let output = pipeline.apply(&Batch::replace_all(objects));
    assert_eq!(output.snapshots.len(), 1, "the fixture has one Gateway");
    pipeline
}

fn from_nothing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("translate");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for routes in [100, 1_000, 10_000] {
        let batch = Batch::replace_all(world(routes, 0));
        group.bench_function(BenchmarkId::from_parameter(routes), |bencher| {
            let empty = || Pipeline::new(options(), translate::Settings::default());
            bencher.iter_batched_ref(
                empty,
                |pipeline| black_box(pipeline.apply(&batch)),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn one_route(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route_change");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    for routes in [100, 1_000, 10_000] {
        let mut pipeline = loaded(world(routes, 0));
        let mut turn = 0_usize;
        group.bench_function(BenchmarkId::from_parameter(routes), |bencher| {
            bencher.iter(|| {
                turn += 1;
                let change = Change::Apply(route(7, if turn.is_multiple_of(2) { "/" } else { "/v2" }));
                let output = pipeline.apply(&Batch::from_iter([change]));
                assert_eq!(output.snapshots.len(), 1, "a changed route is published");
                output
            });
        });
    }
    group.finish();
}

/// A route with a hostname of its own, all to one pool.
fn own_host(i: usize) -> AnyObject {
    object::<control_plane::api::HttpRoute>(json!({
        "metadata": meta(&format!("own-{i}")),
        "spec": {
            "parentRefs": [{ "name": "gw" }],
            "hostnames": [format!("own-{i}.example.com")],
            "rules": [{
                "matches": [{ "headers": [{ "name": "X-Gateway-Model-Name", "value": "chatbot" }] }],
                "backendRefs": [{ "name": "pool-0", "kind": "InferencePool" }],
            }],
        },
    }))
}

fn one_host(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("own_host");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    for routes in [10, 1_000, 3_000] {
        let mut objects = gateway_objects();
        objects.push(pool(0));
        objects.extend((0..routes).map(own_host));
        let mut pipeline = loaded(objects);
        let mut turn = 0_usize;
        group.bench_function(BenchmarkId::from_parameter(routes), |bencher| {
            bencher.iter(|| {
                turn += 1;
                let added = own_host(routes);
                let change = if turn.is_multiple_of(2) {
                    Change::Delete(added.object_ref())
                } else {
                    Change::Apply(added)
                };
                let output = pipeline.apply(&Batch::from_iter([change]));
                assert_eq!(output.snapshots.len(), 1, "the change is published");
                output
            });
        });
    }
    group.finish();
}

fn one_endpoint(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("endpoint_change");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    let pods = 100_000;
    let mut pipeline = loaded(world(10_000, pods));
    let mut turn = 0_usize;
    group.bench_function(BenchmarkId::from_parameter(pods), |bencher| {
        bencher.iter(|| {
            turn += 1;
            let added = pod(pods, POOLS);
            let change = if turn.is_multiple_of(2) {
                Change::Delete(added.object_ref())
            } else {
                Change::Apply(added)
            };
            let output = pipeline.apply(&Batch::from_iter([change]));
            assert_eq!(
                (output.snapshots.len(), output.pools.len()),
                (1, 1),
                "the pool's endpoints are published"
            );
            output
        });
    });
    group.finish();
}

/// A Pod with as many labels as those of a Deployment have.
fn labelled_pod(i: usize) -> AnyObject {
    let mut value = json!({
        "metadata": { "name": format!("pod-{i}"), "namespace": "default", "generation": 1, "labels": {
            "app": "pool-0",
            "app.kubernetes.io/name": "model-server",
            "app.kubernetes.io/instance": "chatbot",
            "inference.networking.k8s.io/engine-type": "vllm",
            "llm-d.ai/role": "decode",
            "pod-template-hash": "5d9c7b9f6c",
        } },
        "spec": { "nodeName": "node-1" },
        "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
    });
    value["status"]["podIP"] = json!(format!("10.{}.{}.{}", i >> 16 & 255, i >> 8 & 255, i & 255));
    object::<control_plane::api::Pod>(value)
}

fn one_of_a_big_pool(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("big_pool");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    let pods = 1_000;
    let mut objects = gateway_objects();
    objects.extend([pool(0), route(0, "/")]);
    objects.extend((0..pods).map(labelled_pod));
    let mut pipeline = loaded(objects);
    let mut turn = 0_usize;
    group.bench_function(BenchmarkId::from_parameter(pods), |bencher| {
        bencher.iter(|| {
            turn += 1;
            let added = labelled_pod(pods);
            let change = if turn.is_multiple_of(2) {
                Change::Delete(added.object_ref())
            } else {
                Change::Apply(added)
            };
            let output = pipeline.apply(&Batch::from_iter([change]));
            assert_eq!((output.snapshots.len(), output.pools.len()), (1, 1), "the endpoints are published");
            output
        });
    });
    group.finish();
}

criterion_group!(benches, from_nothing, one_route, one_host, one_endpoint, one_of_a_big_pool);
criterion_main!(benches);
