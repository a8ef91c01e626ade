//! The World: every object that Signalbox has read, immutable and cheap to clone.
//!
//! ```text
//! source ── Batch ──▶ World::apply ──▶ next World (shares what is equal) + Dirty (what to resolve again)
//!                        └ index: who refers to whom, kept in step
//! ```
//!
//! Reading a World takes no lock; a change of one object costs a few tree nodes, never a walk over all objects.

mod content;
mod delta;
mod dirty;
mod index;
mod keys;
mod reduce;
mod relation;
mod selectors;
mod stored;
mod touch;

use std::sync::Arc;

use imbl::OrdMap;

pub use content::{Content, same_objects};
pub use dirty::{Dirty, EndpointOwner};
use index::Index;
use keys::Backend;

use crate::{
    api::{
        BackendTLSPolicy, ConfigMap, EndpointSlice, Gateway, GatewayClass, GatewayParameters, HttpRoute,
        InferenceModel, InferenceModelRewrite, InferenceObjective, InferencePool, Namespace, NamespacedName,
        Node, Pod, ReferenceGrant, Secret, Service,
    },
    source::{AnyObject, Batch},
};

/// All objects of one kind, by namespace and name. Clones share structure.
pub type Objects<T> = OrdMap<NamespacedName, Arc<T>>;

/// Every object that has been read.
///
/// [`World::apply`] keeps the index behind the queries in step with the maps; whoever changes a map directly calls
/// [`World::reindexed`] before using a query.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field holds the kind of its name")]
pub struct World {
    pub gateway_classes: Objects<GatewayClass>,
    pub gateways: Objects<Gateway>,
    pub http_routes: Objects<HttpRoute>,
    pub reference_grants: Objects<ReferenceGrant>,
    pub backend_tls_policies: Objects<BackendTLSPolicy>,
    pub namespaces: Objects<Namespace>,
    pub services: Objects<Service>,
    pub endpoint_slices: Objects<EndpointSlice>,
    pub pods: Objects<Pod>,
    pub nodes: Objects<Node>,
    pub secrets: Objects<Secret>,
    pub config_maps: Objects<ConfigMap>,
    pub pools: Objects<InferencePool>,
    pub objectives: Objects<InferenceObjective>,
    pub rewrites: Objects<InferenceModelRewrite>,
    pub models: Objects<InferenceModel>,
    pub parameters: Objects<GatewayParameters>,
    index: Index,
}

impl World {
    /// A World of these objects.
    pub fn from_objects(objects: impl IntoIterator<Item = AnyObject>) -> Self {
        Self::default().apply(&Batch::replace_all(objects.into_iter().collect())).0
    }

    /// The same objects with a fresh index.
    #[must_use]
    pub fn reindexed(self) -> Self {
        let index = Index::of(&self);
        Self { index, ..self }
    }

    /// HTTPRoutes that name the Gateway as a parent, in key order.
    pub fn routes_of(&self, gateway: &NamespacedName) -> impl Iterator<Item = &Arc<HttpRoute>> {
        self.index.routes_by_gateway.of(gateway)
    }

    /// Pods that the pool selects, in key order, whether Ready or not.
    pub fn pods_of(&self, pool: &NamespacedName) -> impl Iterator<Item = &Arc<Pod>> {
        self.index.pods_by_pool.of(pool)
    }

    /// EndpointSlices of the Service, in key order.
    pub fn slices_of(&self, service: &NamespacedName) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        self.index.slices_by_service.of(service)
    }

    /// ReferenceGrants that allow references into the namespace, in key order.
    pub fn grants_in<'w>(&'w self, namespace: &'w str) -> impl Iterator<Item = &'w Arc<ReferenceGrant>> {
        in_namespace(&self.reference_grants, namespace)
    }

    /// BackendTLSPolicies of the namespace, in key order.
    pub fn tls_policies_in<'w>(
        &'w self,
        namespace: &'w str,
    ) -> impl Iterator<Item = &'w Arc<BackendTLSPolicy>> {
        in_namespace(&self.backend_tls_policies, namespace)
    }

    /// InferenceObjectives that refer to the pool, in key order.
    pub fn objectives_of(&self, pool: &NamespacedName) -> impl Iterator<Item = &Arc<InferenceObjective>> {
        self.index.objectives_by_pool.of(pool)
    }

    /// InferenceModelRewrites that refer to the pool, in key order.
    pub fn rewrites_of(&self, pool: &NamespacedName) -> impl Iterator<Item = &Arc<InferenceModelRewrite>> {
        self.index.rewrites_by_pool.of(pool)
    }

    /// InferenceModels that refer to the pool, in key order.
    pub fn models_of(&self, pool: &NamespacedName) -> impl Iterator<Item = &Arc<InferenceModel>> {
        self.index.models_by_pool.of(pool)
    }

    /// Gateways with a route that refers to the pool, in key order, each once.
    pub fn gateways_referring_to_pool(&self, pool: &NamespacedName) -> impl Iterator<Item = &Arc<Gateway>> {
        self.existing(self.gateways_of_backend(&Backend::pool(pool.clone())))
    }

    /// Gateways with a route that refers to the Service, or to a pool whose picker it is; in key order, each once.
    pub fn gateways_referring_to_service(
        &self,
        service: &NamespacedName,
    ) -> impl Iterator<Item = &Arc<Gateway>> {
        let mut gateways = self.gateways_of_backend(&Backend::service(service.clone()));
        for pool in self.pools_with_picker(service) {
            gateways.extend(self.gateways_of_backend(&Backend::pool(pool.metadata.key())));
        }
        self.existing(gateways)
    }

    /// InferencePools whose endpoint picker is the Service, in key order.
    pub fn pools_with_picker(&self, service: &NamespacedName) -> impl Iterator<Item = &Arc<InferencePool>> {
        self.index.pools_by_picker.of(service)
    }
}

/// The objects of a namespace.
fn in_namespace<'w, T>(objects: &'w Objects<T>, namespace: &'w str) -> impl Iterator<Item = &'w Arc<T>> {
    objects
        .range(NamespacedName::new(namespace, "")..)
        .take_while(move |(key, _)| key.namespace == namespace)
        .map(|(_, object)| object)
}

#[cfg(test)]
mod tests;
