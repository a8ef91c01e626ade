//! All resources of one Gateway at one revision.

use std::{collections::BTreeMap, sync::Arc};

use super::{Resource, ResourceType};

/// All resources that the Envoys of one Gateway hold. Immutable; the next snapshot shares what did not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    resources: BTreeMap<ResourceType, BTreeMap<Arc<str>, Arc<Resource>>>,
}

impl Snapshot {
    /// Adds a resource, or replaces the one of the same name.
    pub fn insert(&mut self, kind: ResourceType, resource: Arc<Resource>) {
        self.resources.entry(kind).or_default().insert(resource.name.clone(), resource);
    }

    /// The resource of a name.
    pub fn get(&self, kind: ResourceType, name: &str) -> Option<&Arc<Resource>> {
        self.resources.get(&kind)?.get(name)
    }

    /// The resources of a type, sorted by name.
    pub fn of(&self, kind: ResourceType) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.get(&kind).into_iter().flat_map(BTreeMap::values)
    }
}
