//! What a batch has changed, in terms of what must be computed again.

use std::collections::BTreeSet;

use crate::api::{NamespacedName, ObjectRef};

/// What to compute again after a batch. Empty when nothing that matters has changed.
///
/// Names of objects that are gone are included: their results must be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    /// Gateways to resolve again (endpoints included).
    pub gateways: BTreeSet<NamespacedName>,
    /// GatewayClasses whose status to report again.
    pub classes: BTreeSet<NamespacedName>,
    /// Pools whose picker needs a new snapshot for another reason than its endpoints: the pool itself, or its
    /// objectives, rewrites or models.
    pub pools: BTreeSet<NamespacedName>,
    /// Owners of endpoints that have changed, and nothing else about them. Routes are not resolved again for these.
    pub endpoints: BTreeSet<EndpointOwner>,
    /// Objects of which only the recorded status or the resource version has changed: nothing to resolve, but the
    /// status that was written may have to be written again.
    pub observed: BTreeSet<ObjectRef>,
}

/// Who has endpoints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointOwner {
    /// An InferencePool: Pods that it selects, and the nodes they run on.
    Pool(NamespacedName),
    /// A Service: its EndpointSlices. It may be a route's backend or a pool's picker.
    Service(NamespacedName),
}

impl Dirty {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what another batch has changed, to handle both at once.
    pub fn merge(&mut self, other: Self) {
        self.gateways.extend(other.gateways);
        self.classes.extend(other.classes);
        self.pools.extend(other.pools);
        self.endpoints.extend(other.endpoints);
        self.observed.extend(other.observed);
    }
}
