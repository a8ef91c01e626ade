//! The endpoints of a cluster, apart from the Gateway: they change far more often.
//!
//! ```text
//! pool           ─▶ Pods of the selector × targetPorts (active-ports annotation), with engine, accelerator, labels
//! Service, picker ─▶ EndpointSlices, port by the name of the Service's port
//! ```
//!
//! A cluster's node controller says of all Pods of a node that fell silent that they are not ready, also when only the
//! API server was away: then all of them go at one moment, and come back when the kubelet tells. Whoever has nothing
//! else keeps those that nobody knows to be bad, as the picker leaves out who does not answer, and Envoy asks pickers
//! for their health:
//!
//! | no one is ready of | kept |
//! |---|---|
//! | a pool | Pods whose containers and readiness gates are ready ([`Pod::is_presumed_ready`]) |
//! | a picker's Service | endpoints that are not ready and not terminating |
//! | another Service | nobody, as with kube-proxy: nobody asks for their health |

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::{
    accelerator::accelerator,
    ir::{Accelerator, ClusterName, Endpoint, EndpointSet, EndpointState, Upstream},
    service,
};
use crate::{
    api::{EndpointSlice, InferencePool, NamespacedName, Node, Pod, SliceConditions},
    kept::Kept,
    world::World,
};

const ACTIVE_PORTS: [&str; 2] = ["inference.networking.k8s.io/active-ports", "llm-d.ai/active-ports"];
const ENGINE_TYPE: [&str; 2] = ["inference.networking.k8s.io/engine-type", "llm-d.ai/engine-type"];

/// What is kept of one cluster from one time to the next. An empty one is always right, as is one of another cluster.
#[derive(Debug, Default)]
pub struct KeptEndpoints {
    ports: Vec<u16>,
    /// In key order.
    pods: Vec<KnownPod>,
}

/// A Pod's endpoints, and what they were made from.
#[derive(Debug)]
struct KnownPod {
    pod: Arc<Pod>,
    node: Option<Arc<Node>>,
    endpoints: Vec<Arc<Endpoint>>,
}

/// The endpoints of a cluster; none when what it stands for does not exist. Those of unchanged Pods are the same objects
/// as those that `kept` is of.
pub fn endpoints(world: &World, cluster: &Upstream, kept: &mut KeptEndpoints) -> EndpointSet {
    let (name, found) = match cluster {
        Upstream::Service(key, port) => {
            (ClusterName::service(key, *port), of_service(world, key, *port, is_ready))
        }
        Upstream::Picker(key, port, _) => {
            let found = of_service(world, key, *port, is_ready);
            let found = if takes_requests(&found) { found } else { of_service(world, key, *port, |_| true) };
            (ClusterName::picker(key, *port), found)
        }
        Upstream::Pool(key, _) => {
            let pool = world.pools.get(key);
            (ClusterName::pool(key), pool.map(|pool| of_pool(world, key, pool, kept)).unwrap_or_default())
        }
    };
    EndpointSet { cluster: name, endpoints: found.into_values().collect() }
}

/// By address and port, so sorted and without doubles.
type Found = BTreeMap<(IpAddr, u16), Arc<Endpoint>>;

/// Of two endpoints at one place the one that takes requests stays, else the first.
fn insert(found: &mut Found, endpoint: Arc<Endpoint>) {
    let place = (endpoint.address, endpoint.port);
    match found.get(&place) {
        Some(there) if there.state <= endpoint.state => {}
        _ => {
            found.insert(place, endpoint);
        }
    }
}

/// Whether one of them takes new requests.
fn takes_requests(found: &Found) -> bool {
    found.values().any(|endpoint| endpoint.state == EndpointState::Ready)
}

fn of_pool(world: &World, key: &NamespacedName, pool: &InferencePool, kept: &mut KeptEndpoints) -> Found {
    let ports: Vec<u16> = pool.spec.target_ports.iter().map(|port| port.number).collect();
    let known = if kept.ports == ports { std::mem::take(&mut kept.pods) } else { Vec::new() };
    *kept = KeptEndpoints { ports, pods: Vec::new() };
    let mut known = Kept::new(known);
    let mut found = Found::new();
    for pod in world.pods_of(key) {
        let node = world.nodes.get(&NamespacedName::new("", &pod.spec.node_name));
        let last = known.take(|known: &KnownPod| name_of(&known.pod).cmp(&name_of(pod)));
        let same = last.filter(|last| {
            Arc::ptr_eq(&last.pod, pod) && last.node.as_ref().map(Arc::as_ptr) == node.map(Arc::as_ptr)
        });
        let known = same.unwrap_or_else(|| KnownPod {
            pod: Arc::clone(pod),
            node: node.cloned(),
            endpoints: of_pod(pod, node.map(|node| &**node), &kept.ports),
        });
        kept.pods.push(known);
    }
    let (presumed, sure): (Vec<_>, Vec<_>) = kept.pods.iter().partition(|known| is_presumed(&known.pod));
    let mut add = |pods: Vec<&KnownPod>| {
        let endpoints = pods.into_iter().flat_map(|known| &known.endpoints);
        endpoints.for_each(|endpoint| insert(&mut found, Arc::clone(endpoint)));
        takes_requests(&found)
    };
    if !add(sure) {
        add(presumed);
    }
    found
}

fn name_of(pod: &Pod) -> (&str, &str) {
    (&pod.metadata.namespace, &pod.metadata.name)
}

/// Whether the Pod is an endpoint only where there is none that is known to be ready.
fn is_presumed(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && !pod.is_ready()
}

fn of_pod(pod: &Pod, node: Option<&Node>, ports: &[u16]) -> Vec<Arc<Endpoint>> {
    let Some((address, state)) = reachable(pod) else { return Vec::new() };
    let accelerator = accelerator(pod, node);
    let engine = ENGINE_TYPE.iter().find_map(|label| pod.metadata.labels.get(*label));
    let engine = engine.map(|engine| engine.to_ascii_lowercase()).unwrap_or_default();
    let active = active_ports(pod);
    let ranks = (0_u32..).zip(ports);
    let served = ranks.filter(|(_, port)| active.as_ref().is_none_or(|active| active.contains(*port)));
    let endpoint = |(rank, &port)| Endpoint {
        address,
        port,
        state,
        pod: pod.metadata.name.clone(),
        node: pod.spec.node_name.clone(),
        rank,
        engine: engine.clone(),
        accelerator: accelerator.clone(),
        labels: pod.metadata.labels.clone(),
    };
    served.map(endpoint).map(Arc::new).collect()
}

/// A Pod's address and state; `None` when it is no endpoint. A Pod that is being deleted finishes what it has.
fn reachable(pod: &Pod) -> Option<(IpAddr, EndpointState)> {
    let address = pod.status.pod_ip.as_deref()?.parse().ok()?;
    if matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Some((address, EndpointState::Draining));
    }
    (pod.is_ready() || pod.is_presumed_ready()).then_some((address, EndpointState::Ready))
}

/// The ports that the Pod says it serves; `None` when it says nothing. Words that are no ports are skipped.
fn active_ports(pod: &Pod) -> Option<BTreeSet<u16>> {
    let text = ACTIVE_PORTS.iter().find_map(|name| pod.metadata.annotations.get(*name))?;
    Some(text.split(',').filter_map(|port| port.trim().parse().ok()).collect())
}

fn of_service(
    world: &World,
    key: &NamespacedName,
    port: u16,
    takes: impl Fn(&SliceConditions) -> bool,
) -> Found {
    let mut found = Found::new();
    let Some(port) = world.services.get(key).and_then(|service| service::tcp_port(service, port)) else {
        return found;
    };
    for slice in world.slices_of(key) {
        if !["IPv4", "IPv6"].contains(&slice.address_type.as_str()) {
            continue;
        }
        for number in slice_ports(slice, &port.name) {
            for endpoint in &slice.endpoints {
                let address = endpoint.addresses.first().and_then(|address| address.parse().ok());
                if let (Some(address), Some(state)) = (address, state(&endpoint.conditions, &takes)) {
                    insert(&mut found, Arc::new(plain(address, number, state)));
                }
            }
        }
    }
    found
}

/// The numbers of the slice's ports of this name; an unnamed port has the empty name.
fn slice_ports<'a>(slice: &'a EndpointSlice, name: &'a str) -> impl Iterator<Item = u16> + 'a {
    slice
        .ports
        .iter()
        .filter(move |p| p.name.as_deref().unwrap_or_default() == name)
        .filter(|p| p.protocol.as_deref().unwrap_or("TCP") == "TCP")
        .filter_map(|p| p.port)
}

fn state(conditions: &SliceConditions, takes: impl Fn(&SliceConditions) -> bool) -> Option<EndpointState> {
    if conditions.terminating == Some(true) {
        // While terminating `ready` is false by definition, so an absent `serving` has nothing to follow.
        return conditions.serving.unwrap_or(true).then_some(EndpointState::Draining);
    }
    takes(conditions).then_some(EndpointState::Ready)
}

fn is_ready(conditions: &SliceConditions) -> bool {
    conditions.ready.unwrap_or(true)
}

fn plain(address: IpAddr, port: u16, state: EndpointState) -> Endpoint {
    Endpoint {
        address,
        port,
        state,
        pod: String::new(),
        node: String::new(),
        rank: 0,
        engine: String::new(),
        accelerator: Accelerator::default(),
        labels: BTreeMap::new(),
    }
}
