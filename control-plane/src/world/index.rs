//! Who refers to whom, kept in step with the objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    World,
    delta::Delta,
    in_namespace,
    keys::{self, Backend, Setting},
    relation::Relation,
    selectors::{Selectors, selects},
};
use crate::api::{
    EndpointSlice, Gateway, HttpRoute, InferenceModel, InferenceModelRewrite, InferenceObjective,
    InferencePool, NamespacedName, Pod,
};

/// From this many pools of a namespace on, Pods are matched by lookup instead of by comparison with each pool.
const MANY_POOLS: usize = 8;

/// All relations.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Index {
    pub(super) routes_by_gateway: Relation<NamespacedName, HttpRoute>,
    pub(super) routes_by_backend: Relation<Backend, HttpRoute>,
    pub(super) gateways_by_class: Relation<NamespacedName, Gateway>,
    pub(super) gateways_by_setting: Relation<Setting, Gateway>,
    pub(super) slices_by_service: Relation<NamespacedName, EndpointSlice>,
    pub(super) pools_by_picker: Relation<NamespacedName, InferencePool>,
    pub(super) pods_by_pool: Relation<NamespacedName, Pod>,
    pub(super) pods_by_node: Relation<String, Pod>,
    pub(super) objectives_by_pool: Relation<NamespacedName, InferenceObjective>,
    pub(super) rewrites_by_pool: Relation<NamespacedName, InferenceModelRewrite>,
    pub(super) models_by_pool: Relation<NamespacedName, InferenceModel>,
    pub(super) selectors: Selectors,
}

impl Index {
    /// The index of a World, from nothing but its objects.
    pub(super) fn of(world: &World) -> Self {
        let mut index = Self::default();
        world.http_routes.values().for_each(|route| index.route(None, Some(route)));
        world.gateways.values().for_each(|gateway| index.gateway(None, Some(gateway)));
        world.endpoint_slices.values().for_each(|slice| index.slice(None, Some(slice)));
        world.objectives.values().for_each(|object| index.objective(None, Some(object)));
        world.rewrites.values().for_each(|object| index.rewrite(None, Some(object)));
        world.models.values().for_each(|object| index.model(None, Some(object)));
        for pool in world.pools.values() {
            index.pools_by_picker.update(None, Some(pool), keys::picker);
            index.selectors.insert(pool);
        }
        world.pods.values().for_each(|pod| index.pod(None, Some(pod)));
        index
    }

    pub(super) fn route(&mut self, old: Option<&Arc<HttpRoute>>, new: Option<&Arc<HttpRoute>>) {
        self.routes_by_gateway.update(old, new, keys::parents);
        self.routes_by_backend.update(old, new, keys::backends);
    }

    pub(super) fn gateway(&mut self, old: Option<&Arc<Gateway>>, new: Option<&Arc<Gateway>>) {
        self.gateways_by_class.update(old, new, keys::class);
        self.gateways_by_setting.update(old, new, keys::settings);
    }

    pub(super) fn slice(&mut self, old: Option<&Arc<EndpointSlice>>, new: Option<&Arc<EndpointSlice>>) {
        self.slices_by_service.update(old, new, |slice| slice.service().into_iter().collect());
    }

    pub(super) fn objective(
        &mut self,
        old: Option<&Arc<InferenceObjective>>,
        new: Option<&Arc<InferenceObjective>>,
    ) {
        self.objectives_by_pool.update(old, new, |object| keys::pool(object, &object.spec.pool_ref));
    }

    pub(super) fn rewrite(
        &mut self,
        old: Option<&Arc<InferenceModelRewrite>>,
        new: Option<&Arc<InferenceModelRewrite>>,
    ) {
        self.rewrites_by_pool.update(old, new, |object| keys::pool(object, &object.spec.pool_ref));
    }

    pub(super) fn model(&mut self, old: Option<&Arc<InferenceModel>>, new: Option<&Arc<InferenceModel>>) {
        self.models_by_pool.update(old, new, |object| keys::pool(object, &object.spec.pool_ref));
    }

    /// A changed Pod. The selectors are those of all pools already.
    pub(super) fn pod(&mut self, old: Option<&Arc<Pod>>, new: Option<&Arc<Pod>>) {
        let node = |pod: &Pod| {
            Some(pod.spec.node_name.clone()).filter(|node| !node.is_empty()).into_iter().collect()
        };
        self.pods_by_node.update(old, new, node);
        let selectors = &self.selectors;
        self.pods_by_pool.update(old, new, |pod| selectors.matching(pod).cloned().collect());
    }

    /// Changed pools; `world` has the Pods that the index knows. Pods are walked once for each namespace where a
    /// selector has changed.
    pub(super) fn pools(&mut self, deltas: &[Delta<InferencePool>], world: &World) {
        let mut reselected: BTreeMap<&str, Vec<&Arc<InferencePool>>> = BTreeMap::new();
        for delta in deltas {
            self.pools_by_picker.update(delta.old.as_ref(), delta.new.as_ref(), keys::picker);
            let selector = |pool: &Arc<InferencePool>| pool.spec.selector.clone();
            if delta.old.as_ref().map(selector) == delta.new.as_ref().map(selector) {
                continue;
            }
            if let Some(old) = &delta.old {
                self.selectors.remove(old);
                self.pods_by_pool.clear(&delta.key);
            }
            if let Some(new) = &delta.new {
                self.selectors.insert(new);
                reselected.entry(&new.metadata.namespace).or_default().push(new);
            }
        }
        for (namespace, pools) in reselected {
            self.select(namespace, &pools, world);
        }
    }

    /// Files the Pods of a namespace under pools that have none yet.
    fn select(&mut self, namespace: &str, pools: &[&Arc<InferencePool>], world: &World) {
        let names: BTreeSet<NamespacedName> = pools.iter().map(|pool| pool.metadata.key()).collect();
        for pod in in_namespace(&world.pods, namespace) {
            if pools.len() < MANY_POOLS {
                for pool in pools.iter().filter(|pool| selects(pool, pod)) {
                    self.pods_by_pool.insert(pool.metadata.key(), pod);
                }
            } else {
                for pool in self.selectors.matching(pod).filter(|pool| names.contains(pool)) {
                    self.pods_by_pool.insert(pool.clone(), pod);
                }
            }
        }
    }
}
