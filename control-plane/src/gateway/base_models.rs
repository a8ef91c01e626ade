//! Which base model an adapter belongs to, from labelled ConfigMaps.
//!
//! `data.baseModel` is a name, `data.adapters` a YAML list of names. ConfigMaps of all namespaces count, as upstream's
//! payload processor does without a namespace of its own. A name that two ConfigMaps claim goes to the older one.

use std::collections::BTreeMap;

use super::precedence::Age;
use crate::{api::ConfigMap, world::World};

/// The labels of GIE up to v1.5 and of llm-d; the value is `"true"`.
const LABELS: [&str; 2] = ["inference.networking.k8s.io/bbr-managed", "inference.llm-d.ai/ipp-managed"];

/// Model or adapter name → base model. A list that cannot be read counts as empty.
pub(super) fn base_models(world: &World) -> BTreeMap<String, String> {
    let mut maps: Vec<&ConfigMap> =
        world.config_maps.values().map(|map| &**map).filter(|map| is_labelled(map)).collect();
    // Stable: key order remains among maps of the same age.
    maps.sort_by_key(|map| Age::of(&map.metadata));
    let mut names = BTreeMap::new();
    for map in maps {
        let base = map.data.get("baseModel").map(|text| text.trim()).unwrap_or_default();
        if base.is_empty() {
            continue;
        }
        let adapters = map.data.get("adapters").map(String::as_str).unwrap_or_default();
        let adapters: Vec<String> = serde_saphyr::from_str(adapters).unwrap_or_default();
        for name in adapters.into_iter().chain([base.to_owned()]) {
            names.entry(name).or_insert_with(|| base.to_owned());
        }
    }
    names
}

fn is_labelled(map: &ConfigMap) -> bool {
    LABELS.iter().any(|label| map.metadata.labels.get(*label).is_some_and(|value| value == "true"))
}
