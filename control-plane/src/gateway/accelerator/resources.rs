//! Extended resources that stand for accelerators.

use crate::api::{Container, Resources};

/// The devices that a Pod requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Devices {
    /// First word of the classes of these devices.
    pub(super) vendor: &'static str,
    /// The class when nothing tells more than the vendor.
    pub(super) vendor_class: &'static str,
    /// Profile of a MIG slice, such as `1g.10gb`.
    pub(super) slice: Option<String>,
    /// How many.
    pub(super) count: u32,
}

/// A resource name (`*` stands for any rest), its vendor, and its class for want of a better.
const RESOURCES: [(&str, &str, &str); 9] = [
    ("nvidia.com/gpu", "nvidia", "nvidia"),
    ("nvidia.com/gpu.shared", "nvidia", "nvidia"),
    ("nvidia.com/mig-*", "nvidia", "nvidia"),
    ("amd.com/gpu", "amd", "amd"),
    ("google.com/tpu", "tpu", "tpu"),
    ("habana.ai/gaudi*", "intel", "intel-gaudi"),
    ("gpu.intel.com/i915", "intel", "intel"),
    ("gpu.intel.com/xe", "intel", "intel"),
    ("aws.amazon.com/neuron*", "aws", "aws-neuron"),
];

/// Sums the devices of all containers; of several kinds in one Pod the first in the order of names counts.
pub(super) fn requested(containers: &[Container]) -> Option<Devices> {
    let mut found: Option<(String, Devices)> = None;
    for (name, count) in containers.iter().flat_map(|container| of(&container.resources)) {
        let Some((vendor, vendor_class)) = vendor(&name) else { continue };
        let slice = name.strip_prefix("nvidia.com/mig-").map(ToOwned::to_owned);
        match &mut found {
            Some((known, devices)) if *known == name => devices.count += count,
            Some((known, _)) if *known < name => {}
            _ => found = Some((name, Devices { vendor, vendor_class, slice, count })),
        }
    }
    found.map(|(_, devices)| devices).filter(|devices| devices.count > 0)
}

/// Limits or requests: for extended resources they are equal where both are given.
fn of(resources: &Resources) -> Vec<(String, u32)> {
    let mut merged = resources.requests.clone();
    merged.extend(resources.limits.clone());
    merged.into_iter().filter_map(|(name, quantity)| Some((name, number(&quantity)?))).collect()
}

fn number(quantity: &serde_json::Value) -> Option<u32> {
    match quantity {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|n| u32::try_from(n).ok()),
    }
}

fn vendor(name: &str) -> Option<(&'static str, &'static str)> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(stem) => name.starts_with(stem),
        None => name == pattern,
    };
    RESOURCES.iter().find(|(pattern, ..)| fits(pattern)).map(|(_, vendor, class)| (*vendor, *class))
}
