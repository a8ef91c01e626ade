//! What should exist in the cluster for the objects of a World. Pure.
//!
//! ```text
//! Gateway of ours ─ gateway::fleet ─┬─ parameters ─▶ objects        Fleet::Managed
//!                                   ├─ external ───▶ none           Fleet::External
//!                                   └─ wrong ──────▶ as they are    Fleet::Held
//! pool with a managed picker ──────────────────────▶ objects, one set for each Service
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    config::InfraConfig,
    envoy::Envoy,
    manifest::Manifest,
    metadata::Shared,
    names::{INFRASTRUCTURE_LABEL, Owner, owner_reference},
    picker::Picker,
    service::service,
};
use crate::{
    api::{
        FleetServiceType, Gateway, InferencePool, InfrastructureMode, NamespacedName, Object as _, Service,
    },
    gateway::{self, Options},
    infra::desired::{managed_picker, managed_pickers},
    world::World,
};

/// What should exist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// Namespace of the installation that desires it.
    pub installation: String,
    /// For each owner.
    pub fleets: BTreeMap<Owner, Fleet>,
    /// Addresses of the nodes, for Services of type NodePort: external ones where nodes have any.
    pub node_addresses: Vec<String>,
}

/// The infrastructure of one owner.
#[derive(Clone, Debug, PartialEq)]
pub enum Fleet {
    /// These objects, and no others.
    Managed(Managed),
    /// Somebody else provides it, at the addresses that the Gateway asks for: nothing of ours.
    External(Vec<IpAddr>),
    /// What exists stays as it is, for this reason.
    Held(String),
}

/// Objects of one owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Managed {
    /// In the order in which they are applied.
    pub objects: Vec<Manifest>,
    /// How clients reach the Service.
    pub reach: FleetServiceType,
    /// Addresses that the Gateway asks for.
    pub asked: Vec<IpAddr>,
    /// Why Pods are not rolled out yet: until it is gone, the Deployment stays as it is.
    pub waits_for: Option<String>,
}

/// What should exist for `world`.
pub fn desired(world: &World, options: &Options, config: &InfraConfig) -> Desired {
    let gateways = world.gateways.iter().filter_map(|(name, object)| {
        let fleet = match gateway::fleet(world, name, options)? {
            Err(why) => Fleet::Held(why),
            Ok(fleet) => gateway_fleet(object, name, &fleet, config),
        };
        Some((Owner::Gateway(name.clone()), fleet))
    });
    let mut fleets: BTreeMap<Owner, Fleet> = gateways.collect();
    for (service, pools) in managed_pickers(world) {
        let fleet = picker_fleet(world, &service, &pools, config);
        fleets.insert(Owner::Picker(service), fleet);
    }
    Desired { installation: config.installation.clone(), fleets, node_addresses: node_addresses(world) }
}

fn gateway_fleet(
    object: &Gateway,
    name: &NamespacedName,
    fleet: &gateway::Fleet,
    config: &InfraConfig,
) -> Fleet {
    let parameters = &fleet.parameters;
    let addresses = object.spec.addresses.iter().filter(|address| address.kind == "IPAddress");
    let asked: Vec<IpAddr> = addresses.filter_map(|address| address.value.as_deref()?.parse().ok()).collect();
    if parameters.infrastructure == Some(InfrastructureMode::External) {
        return Fleet::External(asked);
    }
    if object.metadata.deletion_timestamp.is_some() {
        return Fleet::Held("the Gateway is being deleted".to_owned());
    }
    let uid = &object.metadata.uid;
    let reference = owner_reference("gateway.networking.k8s.io/v1", "Gateway", &name.name, uid);
    let shared = Shared::of_gateway(&config.installation, object, reference);
    let envoy = Envoy {
        config,
        gateway: name,
        uid,
        shared: &shared,
        parameters: &parameters.envoy,
        ports: &fleet.ports,
    };
    let mut objects = envoy.objects();
    objects.push(service(&shared, &parameters.service, &fleet.ports, &asked).into());
    Fleet::Managed(Managed {
        objects: in_order(objects),
        reach: parameters.service.kind.unwrap_or_default(),
        asked,
        waits_for: None,
    })
}

fn picker_fleet(
    world: &World,
    service: &NamespacedName,
    pools: &[&InferencePool],
    config: &InfraConfig,
) -> Fleet {
    if let Some(foreign) = world.services.get(service).filter(|service| !is_ours(service)) {
        return Fleet::Held(foreign_service(service, foreign));
    }
    let references = pools.iter().map(|pool| {
        let meta = &pool.metadata;
        owner_reference("inference.networking.k8s.io/v1", "InferencePool", &meta.name, &meta.uid)
    });
    let shared = Shared::of_picker(&config.installation, service, references.collect());
    let ports: BTreeSet<u16> = pools.iter().filter_map(|pool| Some(managed_picker(pool)?.1)).collect();
    let picker = Picker {
        config,
        service,
        shared: &shared,
        pools,
        ports: &ports,
        secure: pools.iter().any(|pool| gateway::speaks_tls_to_picker(pool)),
    };
    Fleet::Managed(Managed {
        objects: in_order(picker.objects()),
        reach: FleetServiceType::ClusterIP,
        asked: Vec::new(),
        waits_for: None,
    })
}

fn in_order(mut objects: Vec<Manifest>) -> Vec<Manifest> {
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    objects
}

/// Whether the Service was provisioned by us.
pub fn is_ours(service: &Service) -> bool {
    service.metadata.labels.contains_key(INFRASTRUCTURE_LABEL)
}

fn foreign_service(name: &NamespacedName, service: &Service) -> String {
    format!(
        "spec.endpointPickerRef: {} {name} exists and was not made by Signalbox, so no picker is run behind it; delete \
         it, name another Service, or remove the annotation signalbox.dev/picker from the InferencePool",
        service.object_ref().kind
    )
}

/// Nodes' external addresses, or their internal ones when no node has an external one.
fn node_addresses(world: &World) -> Vec<String> {
    let of = |kind: &'static str| -> BTreeSet<&str> {
        let all = world.nodes.values().flat_map(|node| &node.status.addresses);
        all.filter(|address| address.kind == kind).map(|address| address.address.as_str()).collect()
    };
    let external = of("ExternalIP");
    let found = if external.is_empty() { of("InternalIP") } else { external };
    // A Gateway's status holds 16.
    found.into_iter().take(16).map(str::to_owned).collect()
}
