//! What is true of the infrastructure of each owner, for status. Pure.

use std::{collections::BTreeMap, net::IpAddr};

use serde_json::Value;

use super::{
    desired::{Desired, Fleet, Managed},
    manifest::ManifestKind,
    names::Owner,
    observed::Observed,
};
use crate::api::{FleetServiceType, GatewayAddress};

/// The infrastructure of one owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InfraState {
    /// Where clients reach the Gateway.
    pub addresses: Vec<GatewayAddress>,
    /// Why it is not as it should be.
    pub error: Option<InfraProblem>,
    /// Pods that are ready.
    pub ready_replicas: i64,
    /// Pods that should be.
    pub desired_replicas: i64,
}

/// Why infrastructure is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfraProblem {
    /// Reason of the condition `Programmed`: `AddressNotAssigned`, `AddressNotUsable`, `Invalid` or `Pending`.
    pub reason: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl InfraProblem {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The state of every owner. `failed` holds what the API server refused.
pub(super) fn states(
    desired: &Desired,
    observed: &Observed,
    failed: &BTreeMap<Owner, InfraProblem>,
) -> BTreeMap<Owner, InfraState> {
    let mut services: BTreeMap<&Owner, &Value> = BTreeMap::new();
    let mut deployments: BTreeMap<&Owner, &Value> = BTreeMap::new();
    for (key, owner, live) in observed.owned() {
        match key.0 {
            ManifestKind::Service => drop(services.insert(owner, &live.object)),
            ManifestKind::Deployment => drop(deployments.insert(owner, &live.object)),
            _ => {}
        }
    }
    let of = |(owner, fleet): (&Owner, &Fleet)| {
        let mut state = InfraState::default();
        let service = services.get(owner).copied();
        if let Some(deployment) = deployments.get(owner) {
            state.ready_replicas = deployment["status"]["readyReplicas"].as_i64().unwrap_or_default();
            state.desired_replicas = deployment["spec"]["replicas"].as_i64().unwrap_or_default();
        }
        match (fleet, owner) {
            (Fleet::Managed(managed), Owner::Gateway(_)) => {
                let (addresses, problem) = reach(managed, service, &desired.node_addresses);
                (state.addresses, state.error) = (addresses, problem);
            }
            // While it waits, the Pods before it serve, if there are any.
            (Fleet::Managed(managed), Owner::Picker(_)) => {
                let why = managed.waits_for.as_ref().filter(|_| !deployments.contains_key(owner));
                state.error = why.map(|why| InfraProblem::new("Pending", why.clone()));
            }
            (Fleet::External(asked), _) => state.addresses = asked.iter().map(ip).collect(),
            (Fleet::Held(why), Owner::Picker(_)) => {
                state.error = Some(InfraProblem::new("Invalid", why.clone()));
            }
            // What runs goes on serving where it did.
            (Fleet::Held(why), Owner::Gateway(_)) => match service {
                Some(service) => state.addresses = held_addresses(service, &desired.node_addresses),
                None => state.error = Some(InfraProblem::new("Pending", why.clone())),
            },
        }
        if let Some(problem) = failed.get(owner) {
            state.error = Some(problem.clone());
        }
        (owner.clone(), state)
    };
    desired.fleets.iter().map(of).collect()
}

/// Addresses by the type of Service, and what is wrong with them.
fn reach(
    managed: &Managed,
    service: Option<&Value>,
    nodes: &[String],
) -> (Vec<GatewayAddress>, Option<InfraProblem>) {
    let Some(service) = service else {
        return (
            Vec::new(),
            Some(InfraProblem::new("Pending", "the Service of the Envoys is being created")),
        );
    };
    if managed.reach != FleetServiceType::LoadBalancer {
        let addresses = match managed.asked.is_empty() {
            true => addresses_of(managed.reach, service, nodes),
            false => managed.asked.iter().map(ip).collect(),
        };
        return (addresses, None);
    }
    let assigned = addresses_of(managed.reach, service, nodes);
    let has = |asked: &&IpAddr| assigned.iter().any(|address| *address == ip(asked));
    let (good, bad): (Vec<_>, Vec<_>) = managed.asked.iter().partition(has);
    if !bad.is_empty() {
        let bad: Vec<_> = bad.into_iter().map(ToString::to_string).collect();
        let message = format!(
            "spec.addresses: the load balancer has not assigned {}; ask for addresses that it may assign, or for none",
            bad.join(", ")
        );
        return (good.into_iter().map(ip).collect(), Some(InfraProblem::new("AddressNotUsable", message)));
    }
    if !managed.asked.is_empty() {
        return (good.into_iter().map(ip).collect(), None);
    }
    let missing = || {
        InfraProblem::new(
            "AddressNotAssigned",
            "the Service of the Envoys is of type LoadBalancer and no load balancer has given it an address; where \
             there is none, set spec.service.type of the GatewayParameters to NodePort or ClusterIP",
        )
    };
    let problem = assigned.is_empty().then(missing);
    (assigned, problem)
}

fn held_addresses(service: &Value, nodes: &[String]) -> Vec<GatewayAddress> {
    let kind = match service["spec"]["type"].as_str() {
        Some("LoadBalancer") => FleetServiceType::LoadBalancer,
        Some("NodePort") => FleetServiceType::NodePort,
        _ => FleetServiceType::ClusterIP,
    };
    addresses_of(kind, service, nodes)
}

fn addresses_of(kind: FleetServiceType, service: &Value, nodes: &[String]) -> Vec<GatewayAddress> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    match kind {
        FleetServiceType::LoadBalancer => {
            let ingress = list(&service["status"]["loadBalancer"]["ingress"]);
            let one = |entry: &Value| match (entry["ip"].as_str(), entry["hostname"].as_str()) {
                (Some(ip), _) => Some(text(ip)),
                (None, Some(host)) => {
                    Some(GatewayAddress { kind: "Hostname".into(), value: Some(host.into()) })
                }
                (None, None) => None,
            };
            ingress.iter().filter_map(one).collect()
        }
        FleetServiceType::NodePort => nodes.iter().map(|address| text(address)).collect(),
        FleetServiceType::ClusterIP => {
            list(&service["spec"]["clusterIPs"]).iter().filter_map(Value::as_str).map(text).collect()
        }
    }
}

/// An address as a load balancer writes it, in its shortest form.
fn text(address: &str) -> GatewayAddress {
    let parsed = address.parse::<IpAddr>().map(|address| address.to_string());
    GatewayAddress { kind: "IPAddress".into(), value: Some(parsed.unwrap_or_else(|_| address.to_owned())) }
}

fn ip(address: &IpAddr) -> GatewayAddress {
    text(&address.to_string())
}
