//! What a changed object makes dirty, kind by kind.
//!
//! Each rule looks at the Worlds before and after: what depended on the old object and what depends on the new one
//! are both dirty.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Dirty, EndpointOwner, World,
    delta::Delta,
    keys::{self, Backend, Setting},
    stored::Stored,
};
use crate::api::{
    BackendTLSPolicy, ConfigMap, EndpointSlice, FromNamespaces, Gateway, GatewayClass, GatewayParameters,
    HttpRoute, InferenceModel, InferenceModelRewrite, InferenceObjective, InferencePool, LabelSelector,
    Namespace, NamespacedName, Node, Pod, PoolRef, ReferenceGrant, Secret, Service,
};

/// Labels (with the value `true`) of ConfigMaps that name base models and their adapters.
const MODEL_MAPPING_LABELS: [&str; 2] =
    ["inference.networking.k8s.io/bbr-managed", "inference.llm-d.ai/ipp-managed"];

/// A kind whose changes make something dirty.
pub(super) trait Touch: Stored {
    /// Adds what the change makes dirty; `worlds` are those before and after.
    fn touch(delta: &Delta<Self>, worlds: &[&World; 2], dirty: &mut Dirty);
}

impl World {
    /// Parents of the routes that refer to a backend, whether they exist or not.
    pub(super) fn gateways_of_backend(&self, backend: &Backend) -> BTreeSet<NamespacedName> {
        self.index.routes_by_backend.of(backend).flat_map(|route| keys::parents(route)).collect()
    }

    /// The Gateways of these names that exist.
    pub(super) fn existing(&self, names: BTreeSet<NamespacedName>) -> impl Iterator<Item = &Arc<Gateway>> {
        names.into_iter().filter_map(|name| self.gateways.get(&name))
    }

    fn gateways_of_pool(&self, pool: &NamespacedName) -> BTreeSet<NamespacedName> {
        self.gateways_of_backend(&Backend::pool(pool.clone()))
    }

    fn gateways_of_setting(&self, setting: &Setting) -> impl Iterator<Item = NamespacedName> {
        self.index.gateways_by_setting.of(setting).map(|gateway| gateway.metadata.key())
    }

    fn gateways_of_class(&self, class: &NamespacedName) -> impl Iterator<Item = NamespacedName> {
        self.index.gateways_by_class.of(class).map(|gateway| gateway.metadata.key())
    }
}

impl Touch for GatewayClass {
    fn touch(delta: &Delta<Self>, worlds: &[&World; 2], dirty: &mut Dirty) {
        dirty.classes.insert(delta.key.clone());
        for world in worlds {
            dirty.gateways.extend(world.gateways_of_class(&delta.key));
        }
    }
}

impl Touch for Gateway {
    fn touch(delta: &Delta<Self>, _: &[&World; 2], dirty: &mut Dirty) {
        dirty.gateways.insert(delta.key.clone());
    }
}

impl Touch for HttpRoute {
    fn touch(delta: &Delta<Self>, _: &[&World; 2], dirty: &mut Dirty) {
        dirty.gateways.extend(delta.sides().flat_map(|route| keys::parents(route)));
    }
}

impl Touch for ReferenceGrant {
    /// Conservative: Gateways with any reference from a namespace of `from` into the grant's namespace.
    fn touch(delta: &Delta<Self>, worlds: &[&World; 2], dirty: &mut Dirty) {
        let target = &delta.key.namespace;
        let from: BTreeSet<&str> =
            delta.sides().flat_map(|grant| &grant.spec.from).map(|from| from.namespace.as_str()).collect();
        for world in worlds {
            let backends = world.index.routes_by_backend.from(Backend::first_in(target));
            for (_, routes) in backends.take_while(|(backend, _)| backend.key.namespace == *target) {
                let allowed =
                    routes.values().filter(|route| from.contains(route.metadata.namespace.as_str()));
                dirty.gateways.extend(allowed.flat_map(|route| keys::parents(route)));
            }
            let settings = world.index.gateways_by_setting.from(Setting::first_in(target));
            for (_, gateways) in settings.take_while(|(setting, _)| setting.key.namespace == *target) {
                let allowed = gateways.keys().filter(|gateway| from.contains(gateway.namespace.as_str()));
                dirty.gateways.extend(allowed.cloned());
            }
        }
    }
}

impl Touch for BackendTLSPolicy {
    fn touch(delta: &Delta<Self>, worlds: &[&World; 2], dirty: &mut Dirty) {
        for (world, policy) in worlds.iter().flat_map(|world| delta.sides().map(move |side| (world, side))) {
            touch_targets(world, policy, dirty);
        }
    }
}

/// The Gateways with a Service that the policy targets.
fn touch_targets(world: &World, policy: &BackendTLSPolicy, dirty: &mut Dirty) {
    for target in &policy.spec.target_refs {
        let service = NamespacedName::new(&policy.metadata.namespace, &target.name);
        let gateways = world.gateways_referring_to_service(&service);
        dirty.gateways.extend(gateways.map(|gateway| gateway.metadata.key()));
    }
}

impl Touch for Namespace {
    /// Gateways with a listener whose selector says something else of the namespace than before.
    fn touch(delta: &Delta<Self>, worlds: &[&World; 2], dirty: &mut Dirty) {
        let differs = |selector: &LabelSelector| match (&delta.old, &delta.new) {
            (Some(old), Some(new)) => {
                selector.matches(&old.metadata.labels) != selector.matches(&new.metadata.labels)
            }
            // Whether a namespace that nobody has declared has labels is for resolving to decide.
            _ => true,
        };
        for (key, gateway) in worlds.iter().flat_map(|world| &world.gateways) {
            let selectors = gateway.spec.listeners.iter().map(|listener| &listener.allowed_routes.namespaces);
            let mut selectors = selectors.filter(|allowed| allowed.from == FromNamespaces::Selector);
            if selectors.any(|allowed| allowed.selector.as_ref().is_some_and(differs)) {
                dirty.gateways.insert(key.clone());
            }
        }
    }
}

impl Touch for Service {
    fn touch(delta: &Delta<Self>, worlds: &[&World; 2], dirty: &mut Dirty) {
        for world in worlds {
            let gateways = world.gateways_referring_to_service(&delta.key);
            dirty.gateways.extend(gateways.map(|gateway| gateway.metadata.key()));
        }
    }
}

impl Touch for EndpointSlice {
    fn touch(delta: &Delta<Self>, _: &[&World; 2], dirty: &mut Dirty) {
        dirty.endpoints.extend(delta.sides().filter_map(|slice| slice.service()).map(EndpointOwner::Service));
    }
}

impl Touch for Pod {
    fn touch(delta: &Delta<Self>, worlds: &[&World; 2], dirty: &mut Dirty) {
        for (world, pod) in worlds.iter().zip([&delta.old, &delta.new]) {
            touch_pools(world, pod.as_ref(), dirty);
        }
    }
}

impl Touch for Node {
    fn touch(delta: &Delta<Self>, worlds: &[&World; 2], dirty: &mut Dirty) {
        for world in worlds {
            touch_pools(world, world.index.pods_by_node.of(&delta.key.name), dirty);
        }
    }
}

/// The pools that select these Pods have other endpoints.
fn touch_pools<'w>(world: &World, pods: impl IntoIterator<Item = &'w Arc<Pod>>, dirty: &mut Dirty) {
    for pod in pods {
        dirty.endpoints.extend(world.index.selectors.matching(pod).cloned().map(EndpointOwner::Pool));
    }
}

impl Touch for Secret {
    fn touch(delta: &Delta<Self>, worlds: &[&World; 2], dirty: &mut Dirty) {
        let setting = Setting::secret(delta.key.clone());
        for world in worlds {
            dirty.gateways.extend(world.gateways_of_setting(&setting));
        }
    }
}

impl Touch for ConfigMap {
    fn touch(delta: &Delta<Self>, worlds: &[&World; 2], dirty: &mut Dirty) {
        let setting = Setting::config_map(delta.key.clone());
        let maps_models = delta.sides().any(|map| is_model_mapping(map));
        for world in worlds {
            dirty.gateways.extend(world.gateways_of_setting(&setting));
            if maps_models {
                dirty.gateways.extend(world.gateways.keys().cloned());
            }
            touch_classes(world, "ConfigMap", &delta.key, dirty);
            for policy in world.tls_policies_in(&delta.key.namespace) {
                let references = &policy.spec.validation.ca_certificate_refs;
                if references.iter().any(|reference| reference.name == delta.key.name) {
                    touch_targets(world, policy, dirty);
                }
            }
        }
    }
}

impl Touch for GatewayParameters {
    fn touch(delta: &Delta<Self>, worlds: &[&World; 2], dirty: &mut Dirty) {
        let setting = Setting::parameters(delta.key.clone());
        for world in worlds {
            dirty.gateways.extend(world.gateways_of_setting(&setting));
            touch_classes(world, "GatewayParameters", &delta.key, dirty);
        }
    }
}

/// The classes whose parameters are this object, and their Gateways.
fn touch_classes(world: &World, kind: &str, parameters: &NamespacedName, dirty: &mut Dirty) {
    for (class, object) in &world.gateway_classes {
        let reference = object.spec.parameters_ref.as_ref();
        if reference.is_some_and(|reference| keys::is_parameters(reference, kind, parameters)) {
            dirty.classes.insert(class.clone());
            dirty.gateways.extend(world.gateways_of_class(class));
        }
    }
}

fn is_model_mapping(map: &ConfigMap) -> bool {
    MODEL_MAPPING_LABELS
        .iter()
        .any(|label| map.metadata.labels.get(*label).is_some_and(|value| value == "true"))
}

impl Touch for InferencePool {
    fn touch(delta: &Delta<Self>, worlds: &[&World; 2], dirty: &mut Dirty) {
        dirty.pools.insert(delta.key.clone());
        for world in worlds {
            dirty.gateways.extend(world.gateways_of_pool(&delta.key));
        }
    }
}

impl Touch for InferenceObjective {
    fn touch(delta: &Delta<Self>, _: &[&World; 2], dirty: &mut Dirty) {
        dirty.pools.extend(pools_of(delta, |objective| &objective.spec.pool_ref));
    }
}

impl Touch for InferenceModelRewrite {
    fn touch(delta: &Delta<Self>, worlds: &[&World; 2], dirty: &mut Dirty) {
        touch_models(pools_of(delta, |rewrite| &rewrite.spec.pool_ref), worlds, dirty);
    }
}

impl Touch for InferenceModel {
    fn touch(delta: &Delta<Self>, worlds: &[&World; 2], dirty: &mut Dirty) {
        touch_models(pools_of(delta, |model| &model.spec.pool_ref), worlds, dirty);
    }
}

fn pools_of<T: Stored>(delta: &Delta<T>, reference: fn(&T) -> &PoolRef) -> BTreeSet<NamespacedName> {
    delta.sides().flat_map(|object| keys::pool(object.as_ref(), reference(object))).collect()
}

/// Models are in the pickers' snapshots and in each Gateway's list of models.
fn touch_models(pools: BTreeSet<NamespacedName>, worlds: &[&World; 2], dirty: &mut Dirty) {
    for (world, pool) in worlds.iter().flat_map(|world| pools.iter().map(move |pool| (world, pool))) {
        dirty.gateways.extend(world.gateways_of_pool(pool));
    }
    dirty.pools.extend(pools);
}
