//! What should run for the objects of a World.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    api::{InferencePool, NamespacedName, Object as _},
    gateway,
    world::World,
};

/// Says that the control plane runs the pool's picker and the Service that its `endpointPickerRef` names.
pub const MANAGED_PICKER: (&str, &str) = ("signalbox.dev/picker", "managed");

/// What should run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// One Envoy for each Gateway of ours, with the IP addresses asked for; none leaves the choice to the infrastructure.
    pub envoys: BTreeMap<NamespacedName, Vec<IpAddr>>,
    /// Services of managed pickers, with the port that pools name. Empty: no picker runs.
    pub picker_services: BTreeSet<(NamespacedName, u16)>,
}

/// What should run for `world`.
pub fn desired(world: &World, options: &gateway::Options) -> Desired {
    let envoys = world
        .gateways
        .iter()
        .filter(|(name, _)| gateway::is_ours(world, name, options))
        .map(|(name, gateway)| {
            let asked = gateway.spec.addresses.iter().filter(|a| a.kind == "IPAddress");
            (name.clone(), asked.filter_map(|a| a.value.as_deref()?.parse().ok()).collect())
        })
        .collect();
    let picker_services = world.pools.values().filter_map(|pool| managed_picker(pool)).collect();
    Desired { envoys, picker_services }
}

/// The Services of managed pickers, each with its pools in order of their names. Pools that go are left out.
pub fn managed_pickers(world: &World) -> BTreeMap<NamespacedName, Vec<&InferencePool>> {
    let mut pickers: BTreeMap<NamespacedName, Vec<&InferencePool>> = BTreeMap::new();
    for pool in world.pools.values().filter(|pool| pool.metadata.deletion_timestamp.is_none()) {
        if let Some((service, _)) = managed_picker(pool) {
            pickers.entry(service).or_default().push(pool);
        }
    }
    pickers
}

/// The Service and port of a pool's managed picker.
pub fn managed_picker(pool: &InferencePool) -> Option<(NamespacedName, u16)> {
    let (key, value) = MANAGED_PICKER;
    if pool.metadata.annotations.get(key).map(String::as_str) != Some(value) {
        return None;
    }
    let reference = pool.spec.endpoint_picker_ref.as_ref()?;
    if !reference.group.is_empty() || reference.kind != "Service" {
        return None;
    }
    Some((NamespacedName::new(pool.key().namespace, &reference.name), reference.port?.number))
}
