//! Joins that resolving needs, by search. Key order.

use std::sync::Arc;

use super::World;
use crate::api::{
    EndpointSlice, HttpRoute, InferenceModel, InferenceModelRewrite, InferenceObjective, NamespacedName, Pod,
    PoolRef, ReferenceGrant, group,
};

impl World {
    /// HTTPRoutes with a parentRef to the Gateway.
    pub fn routes_of(&self, gateway: &NamespacedName) -> impl Iterator<Item = &Arc<HttpRoute>> {
        self.http_routes.values().filter(move |route| {
            route.spec.parent_refs.iter().any(|parent| {
                parent.kind == "Gateway"
                    && parent.group == group::GATEWAY
                    && parent.name == gateway.name
                    && parent.namespace.as_ref().unwrap_or(&route.metadata.namespace) == &gateway.namespace
            })
        })
    }

    /// Pods that the pool selects.
    pub fn pods_of(&self, pool: &NamespacedName) -> impl Iterator<Item = &Arc<Pod>> {
        let pool = self.pools.get(pool);
        self.pods.values().filter(move |pod| {
            pool.is_some_and(|pool| {
                let labels = &pool.spec.selector.match_labels;
                pod.metadata.namespace == pool.metadata.namespace
                    && !labels.is_empty()
                    && labels.iter().all(|(key, value)| pod.metadata.labels.get(key) == Some(value))
            })
        })
    }

    /// EndpointSlices of the Service.
    pub fn slices_of(&self, service: &NamespacedName) -> impl Iterator<Item = &Arc<EndpointSlice>> {
        self.endpoint_slices.values().filter(move |slice| slice.service().as_ref() == Some(service))
    }

    /// ReferenceGrants of the namespace.
    pub fn grants_in(&self, namespace: &str) -> impl Iterator<Item = &Arc<ReferenceGrant>> {
        self.reference_grants.values().filter(move |grant| grant.metadata.namespace == namespace)
    }

    /// InferenceObjectives of the pool.
    pub fn objectives_of(&self, pool: &NamespacedName) -> impl Iterator<Item = &Arc<InferenceObjective>> {
        let values = self.objectives.values();
        values.filter(move |o| refers(&o.spec.pool_ref, &o.metadata.namespace, pool))
    }

    /// InferenceModelRewrites of the pool.
    pub fn rewrites_of(&self, pool: &NamespacedName) -> impl Iterator<Item = &Arc<InferenceModelRewrite>> {
        let values = self.rewrites.values();
        values.filter(move |o| refers(&o.spec.pool_ref, &o.metadata.namespace, pool))
    }

    /// InferenceModels of the pool.
    pub fn models_of(&self, pool: &NamespacedName) -> impl Iterator<Item = &Arc<InferenceModel>> {
        let values = self.models.values();
        values.filter(move |o| refers(&o.spec.pool_ref, &o.metadata.namespace, pool))
    }
}

fn refers(reference: &PoolRef, namespace: &str, pool: &NamespacedName) -> bool {
    reference.name == pool.name && namespace == pool.namespace
}
