//! All resources of one Gateway at one revision.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

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

    /// The names of a type that begin with a prefix, sorted.
    pub fn names_under<'a>(
        &'a self,
        kind: ResourceType,
        prefix: &'a str,
    ) -> impl Iterator<Item = &'a Arc<str>> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let names = self.resources.get(&kind).into_iter().flat_map(move |of| of.range::<str, _>(from));
        names.map(|(name, _)| name).take_while(move |name| name.starts_with(prefix))
    }

    /// The resources of a type, sorted by name.
    pub fn of(&self, kind: ResourceType) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.get(&kind).into_iter().flat_map(BTreeMap::values)
    }
}
