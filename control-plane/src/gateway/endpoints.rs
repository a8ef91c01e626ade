//! The endpoints of a cluster, apart from the Gateway: they change far more often.
//!
//! ```text
//! pool           ─▶ Pods of the selector × targetPorts (active-ports annotation), with engine, accelerator, labels
//! Service, picker ─▶ EndpointSlices, port by the name of the Service's port
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    accelerator::accelerator,
    ir::{Accelerator, ClusterName, Endpoint, EndpointSet, EndpointState, Upstream},
    service,
};
use crate::{
    api::{EndpointSlice, InferencePool, NamespacedName, Pod, SliceConditions},
    world::World,
};

const ACTIVE_PORTS: [&str; 2] = ["inference.networking.k8s.io/active-ports", "llm-d.ai/active-ports"];
const ENGINE_TYPE: [&str; 2] = ["inference.networking.k8s.io/engine-type", "llm-d.ai/engine-type"];

/// The endpoints of a cluster; none when what it stands for does not exist.
pub fn endpoints(world: &World, cluster: &Upstream) -> EndpointSet {
    let (name, found) = match cluster {
        Upstream::Service(key, port) => (ClusterName::service(key, *port), of_service(world, key, *port)),
        Upstream::Picker(key, port, _) => (ClusterName::picker(key, *port), of_service(world, key, *port)),
        Upstream::Pool(key, _) => {
            let pool = world.pools.get(key);
            (ClusterName::pool(key), pool.map(|pool| of_pool(world, key, pool)).unwrap_or_default())
        }
    };
    EndpointSet { cluster: name, endpoints: found.into_values().collect() }
}

/// By address and port, so sorted and without doubles.
type Found = BTreeMap<(IpAddr, u16), Endpoint>;

/// Of two endpoints at one place the one that takes requests stays, else the first.
fn insert(found: &mut Found, endpoint: Endpoint) {
    let place = (endpoint.address, endpoint.port);
    match found.get(&place) {
        Some(there) if there.state <= endpoint.state => {}
        _ => {
            found.insert(place, endpoint);
        }
    }
}

fn of_pool(world: &World, key: &NamespacedName, pool: &InferencePool) -> Found {
    let mut found = Found::new();
    for pod in world.pods_of(key) {
        let Some((address, state)) = reachable(pod) else { continue };
        let node = world.nodes.get(&NamespacedName::new("", &pod.spec.node_name));
        let accelerator = accelerator(pod, node.map(|node| &**node));
        let engine = ENGINE_TYPE.iter().find_map(|label| pod.metadata.labels.get(*label));
        let engine = engine.map(|engine| engine.to_ascii_lowercase()).unwrap_or_default();
        let active = active_ports(pod);
        for (rank, port) in (0_u32..).zip(&pool.spec.target_ports) {
            if active.as_ref().is_none_or(|active| active.contains(&port.number)) {
                let endpoint = Endpoint {
                    address,
                    port: port.number,
                    state,
                    pod: pod.metadata.name.clone(),
                    node: pod.spec.node_name.clone(),
                    rank,
                    engine: engine.clone(),
                    accelerator: accelerator.clone(),
                    labels: pod.metadata.labels.clone(),
                };
                insert(&mut found, endpoint);
            }
        }
    }
    found
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
    pod.is_ready().then_some((address, EndpointState::Ready))
}

/// The ports that the Pod says it serves; `None` when it says nothing. Words that are no ports are skipped.
fn active_ports(pod: &Pod) -> Option<BTreeSet<u16>> {
    let text = ACTIVE_PORTS.iter().find_map(|name| pod.metadata.annotations.get(*name))?;
    Some(text.split(',').filter_map(|port| port.trim().parse().ok()).collect())
}

fn of_service(world: &World, key: &NamespacedName, port: u16) -> Found {
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
                if let (Some(address), Some(state)) = (address, state(&endpoint.conditions)) {
                    insert(&mut found, plain(address, number, state));
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

fn state(conditions: &SliceConditions) -> Option<EndpointState> {
    let ready = conditions.ready.unwrap_or(true);
    if conditions.terminating == Some(true) {
        // While terminating `ready` is false by definition, so an absent `serving` has nothing to follow.
        return conditions.serving.unwrap_or(true).then_some(EndpointState::Draining);
    }
    ready.then_some(EndpointState::Ready)
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
