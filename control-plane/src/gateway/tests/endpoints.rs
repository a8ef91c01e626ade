//! Endpoints of pools, Services and pickers.

use super::*;
use crate::gateway::{
    KeptEndpoints, endpoints,
    ir::{Endpoint, EndpointSet, PickerSecurity, Upstream},
};

fn show(endpoint: &Endpoint) -> String {
    format!("{}:{} {:?}", endpoint.address, endpoint.port, endpoint.state)
}

fn pod(name: &str, ip: &str, ready: &str, rest: &str) -> String {
    format!(
        "\n---\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: x, llm-d.ai/engine-type: VLLM}}, {rest}}}\nspec: {{nodeName: n}}\n\
         status: {{podIP: {ip}, conditions: [{{type: Ready, status: '{ready}'}}], phase: Running}}"
    )
}

const POOL: &str = "
kind: InferencePool
metadata: {name: p}
spec: {selector: {matchLabels: {app: x}}, targetPorts: [{number: 8000}, {number: 8001}]}
---
kind: Node
metadata: {name: n, labels: {cloud.google.com/gke-accelerator: nvidia-l4}}
---
kind: Pod
metadata: {name: unlabelled, labels: {app: y}}
status: {podIP: 10.0.0.99, conditions: [{type: Ready, status: 'True'}]}
---
kind: Pod
metadata: {name: elsewhere, namespace: other, labels: {app: x}}
status: {podIP: 10.0.0.98, conditions: [{type: Ready, status: 'True'}]}
---
kind: Pod
metadata: {name: finished, labels: {app: x}}
status: {podIP: 10.0.0.97, phase: Succeeded, conditions: [{type: Ready, status: 'True'}]}
---
kind: Pod
metadata: {name: without-ip, labels: {app: x}}
status: {conditions: [{type: Ready, status: 'True'}]}";

fn fresh(world: &World, upstream: &Upstream) -> EndpointSet {
    endpoints(world, upstream, &mut KeptEndpoints::default())
}

#[test]
fn kept_endpoints_are_those_that_would_be_made() {
    let mut world = world(&format!(
        "{POOL}{}",
        [pod("a", "10.0.0.1", "True", ""), pod("b", "10.0.0.2", "True", "")].concat()
    ));
    let upstream = Upstream::Pool(key("p"), None);
    let mut kept = KeptEndpoints::default();
    let mut last = endpoints(&world, &upstream, &mut kept);
    // With how many endpoints stay the same objects.
    let steps = [
        (pod("c", "10.0.0.3", "True", ""), 4),
        (pod("b", "10.0.0.2", "False", ""), 4),
        (pod("b", "10.0.0.2", "True", "annotations: {llm-d.ai/active-ports: '8001'}"), 4),
        (
            "kind: Node\nmetadata: {name: n, labels: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}}"
                .to_owned(),
            0,
        ),
        (POOL.replace("{number: 8001}", "{number: 8002}"), 0),
        (pod("a", "10.0.0.9", "True", ""), 2),
    ];
    for (change, same) in steps {
        for text in change.split("\n---").filter(|text| !text.trim().is_empty()) {
            add(&mut world, text);
        }
        let next = endpoints(&world, &upstream, &mut kept);
        assert_eq!(next, fresh(&world, &upstream), "{change}");
        let is_held = |one: &&Arc<Endpoint>| last.endpoints.iter().any(|held| Arc::ptr_eq(held, one));
        assert_eq!(next.endpoints.iter().filter(is_held).count(), same, "{change}");
        last = next;
    }
}

#[test]
fn of_a_pool() {
    let deleted = "deletionTimestamp: '2026-01-01T00:00:00Z'";
    let pods = [
        pod("b", "10.0.0.2", "True", ""),
        pod("a", "10.0.0.10", "True", "annotations: {llm-d.ai/active-ports: '8001, x'}"),
        pod("unready", "10.0.0.3", "False", ""),
        pod("going", "10.0.0.4", "False", deleted),
        pod("six", "'fd00::1'", "True", "annotations: {inference.networking.k8s.io/active-ports: '8000'}"),
        // The node's network: the same place as b.
        pod("twin", "10.0.0.2", "True", deleted),
    ];
    let world = world(&format!("{POOL}{}", pods.concat()));
    let set = fresh(&world, &Upstream::Pool(key("p"), None));
    assert_eq!(set.cluster.as_str(), "pool/default/p");
    assert_eq!(
        set.endpoints.iter().map(|one| show(one)).collect::<Vec<_>>(),
        [
            "10.0.0.2:8000 Ready",
            "10.0.0.2:8001 Ready",
            "10.0.0.4:8000 Draining",
            "10.0.0.4:8001 Draining",
            "10.0.0.10:8001 Ready",
            "fd00::1:8000 Ready",
        ]
    );
    let second = &set.endpoints[1];
    assert_eq!((&*second.pod, &*second.node, second.rank, &*second.engine), ("b", "n", 1, "vllm"));
    assert_eq!((&*second.accelerator.class, &*second.labels["app"]), ("nvidia-l4", "x"));
    assert!(fresh(&world, &Upstream::Pool(key("nope"), None)).endpoints.is_empty());
}

const SERVICE: &str = "
kind: Service
metadata: {name: s}
spec: {ports: [{name: web, port: 80, targetPort: 3000}, {name: grpc, port: 81}]}
---
kind: EndpointSlice
metadata: {name: s-4, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
ports: [{name: grpc, port: 9000}, {name: web, port: 3000, protocol: TCP}, {name: web, port: 3001, protocol: UDP}]
endpoints:
- {addresses: [10.0.0.2]}
- {addresses: [10.0.0.1, 10.0.0.7], conditions: {ready: true}}
- {addresses: [10.0.0.3], conditions: {ready: false}}
- {addresses: [10.0.0.4], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.0.0.5], conditions: {ready: false, serving: false, terminating: true}}
---
kind: EndpointSlice
metadata: {name: s-6, labels: {kubernetes.io/service-name: s}}
addressType: IPv6
ports: [{name: web, port: 3000}]
endpoints: [{addresses: ['fd00::2']}]
---
kind: EndpointSlice
metadata: {name: s-again, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
ports: [{name: web, port: 3000}]
endpoints: [{addresses: [10.0.0.2]}, {addresses: [10.0.0.4]}]
---
kind: EndpointSlice
metadata: {name: s-names, labels: {kubernetes.io/service-name: s}}
addressType: FQDN
ports: [{name: web, port: 3000}]
endpoints: [{addresses: [a.example.com]}]
---
kind: EndpointSlice
metadata: {name: other, labels: {kubernetes.io/service-name: t}}
addressType: IPv4
ports: [{name: web, port: 3000}]
endpoints: [{addresses: [10.0.0.9]}]
---
kind: Service
metadata: {name: t}
spec: {ports: [{port: 80}]}
---
kind: EndpointSlice
metadata: {name: unnamed, labels: {kubernetes.io/service-name: t}}
addressType: IPv4
ports: [{name: '', port: 3000}]
endpoints: [{addresses: [10.0.0.8]}]";

#[test]
fn of_services_and_pickers() {
    let world = world(SERVICE);
    let security = PickerSecurity::TlsUnverified;
    for (upstream, name, expected) in [
        (
            Upstream::Service(key("s"), 80),
            "service/default/s/80",
            &["10.0.0.1:3000 Ready", "10.0.0.2:3000 Ready", "10.0.0.4:3000 Ready", "fd00::2:3000 Ready"][..],
        ),
        (
            Upstream::Picker(key("s"), 81, security),
            "picker/default/s/81",
            &["10.0.0.1:9000 Ready", "10.0.0.2:9000 Ready", "10.0.0.4:9000 Draining"],
        ),
        (Upstream::Service(key("t"), 80), "service/default/t/80", &["10.0.0.8:3000 Ready"]),
        (Upstream::Service(key("s"), 82), "service/default/s/82", &[]),
        (Upstream::Service(key("nope"), 80), "service/default/nope/80", &[]),
    ] {
        let set = fresh(&world, &upstream);
        assert_eq!(set.cluster.as_str(), name);
        assert_eq!(set.endpoints.iter().map(|one| show(one)).collect::<Vec<_>>(), expected, "{name}");
    }
}

/// A Pod whose `Ready` and `ContainersReady` are these.
fn silent(name: &str, ip: &str, [ready, containers]: [&str; 2], spec: &str) -> String {
    let pod = pod(name, ip, ready, "");
    let more = format!("{{type: ContainersReady, status: '{containers}'}}, {{type: gate, status: 'True'}}]");
    pod.replacen("}]", &format!("}}, {more}"), 1).replacen(
        "{nodeName: n}",
        &format!("{{nodeName: n, {spec}}}"),
        1,
    )
}

#[test]
fn pods_of_silent_nodes_are_used_when_no_other_is_ready() {
    let gates = |gate: &str| format!("readinessGates: [{{conditionType: gate}}, {{conditionType: {gate}}}]");
    let mut world = world(&format!(
        "{POOL}{}",
        [
            silent("silent", "10.0.0.1", ["False", "True"], ""),
            silent("crashed", "10.0.0.2", ["False", "False"], ""),
            silent("gated", "10.0.0.3", ["False", "True"], &gates("closed")),
            silent("open", "10.0.0.4", ["Unknown", "True"], &gates("gate")),
            pod("going", "10.0.0.5", "False", "deletionTimestamp: '2026-01-01T00:00:00Z'"),
        ]
        .concat()
    ));
    let mut kept = KeptEndpoints::default();
    let upstream = Upstream::Pool(key("p"), None);
    let mut served = |world: &World| -> Vec<String> {
        let endpoints = endpoints(world, &upstream, &mut kept).endpoints;
        endpoints.iter().filter(|one| one.port == 8000).map(|one| show(one)).collect()
    };
    let silent = ["10.0.0.1:8000 Ready", "10.0.0.4:8000 Ready", "10.0.0.5:8000 Draining"];
    assert_eq!(served(&world), silent);
    add(&mut world, &pod("back", "10.0.0.6", "True", ""));
    assert_eq!(served(&world), ["10.0.0.5:8000 Draining", "10.0.0.6:8000 Ready"]);
    add(&mut world, &pod("back", "10.0.0.6", "False", ""));
    assert_eq!(served(&world), silent);
}

#[test]
fn a_picker_of_a_silent_node_is_asked_for_its_health() {
    let unready = SERVICE
        .replace("[10.0.0.2]}", "[10.0.0.2], conditions: {ready: false}}")
        .replace("ready: true", "ready: false");
    let world = world(&unready);
    let of = |upstream| fresh(&world, &upstream).endpoints.iter().map(|one| show(one)).collect::<Vec<_>>();
    let picker = Upstream::Picker(key("s"), 81, PickerSecurity::TlsUnverified);
    assert_eq!(
        of(picker),
        ["10.0.0.1:9000 Ready", "10.0.0.2:9000 Ready", "10.0.0.3:9000 Ready", "10.0.0.4:9000 Draining"]
    );
    assert_eq!(of(Upstream::Service(key("s"), 81)), ["10.0.0.4:9000 Draining"]);
}
