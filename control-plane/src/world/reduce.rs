//! The reducer: the next World, and what has changed.
//!
//! ```text
//! Batch ─▶ deltas of each kind ─▶ maps and index ─▶ touch: what each delta makes dirty
//! ```

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Dirty, World,
    delta::{Delta, deltas, invalid},
    stored::Stored,
    touch::Touch,
};
use crate::{
    api::{
        BackendTLSPolicy, ConfigMap, EndpointSlice, Gateway, GatewayClass, GatewayParameters, HttpRoute,
        InferenceModel, InferenceModelRewrite, InferenceObjective, InferencePool, Namespace, Node, ObjectRef,
        Pod, ReferenceGrant, Secret, Service,
    },
    source::Batch,
};

/// Stores the deltas of each kind in the order given, then touches what depends on them.
macro_rules! reduce {
    ($batch:expr, $before:expr, $after:ident, $dirty:ident; $($name:ident: $type:ident),* $(,)?) => {
        let invalid = invalid($batch);
        $( let $name = store::<$type>($batch, &invalid, $before, &mut $after); )*
        $( touch(&$name, $before, &$after, &mut $dirty); )*
    };
}

impl World {
    /// The World after a batch, and what it makes dirty. Objects that are equal to those before keep their `Arc`
    /// and make nothing dirty.
    pub fn apply(&self, batch: &Batch) -> (World, Dirty) {
        let mut next = self.clone();
        let mut dirty = Dirty::default();
        // Pools come before Pods: a Pod is matched against selectors that are up to date.
        reduce!(batch, self, next, dirty;
            classes: GatewayClass, gateways: Gateway, routes: HttpRoute, grants: ReferenceGrant,
            policies: BackendTLSPolicy,
            namespaces: Namespace, services: Service, slices: EndpointSlice, pools: InferencePool, pods: Pod,
            nodes: Node, secrets: Secret, config_maps: ConfigMap, objectives: InferenceObjective,
            rewrites: InferenceModelRewrite, models: InferenceModel,
            parameters: GatewayParameters,
        );
        // Routes and references may name what does not exist.
        dirty.gateways.retain(|key| self.gateways.contains_key(key) || next.gateways.contains_key(key));
        dirty.pools.retain(|key| self.pools.contains_key(key) || next.pools.contains_key(key));
        (next, dirty)
    }
}

fn store<T: Stored>(
    batch: &Batch,
    invalid: &BTreeSet<&ObjectRef>,
    before: &World,
    after: &mut World,
) -> Vec<Delta<T>> {
    let deltas = deltas::<T>(before, batch, invalid);
    let objects = T::objects_mut(after);
    for delta in &deltas {
        match &delta.new {
            Some(new) => drop(objects.insert(delta.key.clone(), Arc::clone(new))),
            None => drop(objects.remove(&delta.key)),
        }
    }
    T::file(&mut after.index, &deltas, before);
    deltas
}

fn touch<T: Touch>(deltas: &[Delta<T>], before: &World, after: &World, dirty: &mut Dirty) {
    for delta in deltas {
        if delta.is_same_content() {
            dirty.observed.insert(ObjectRef::new(T::KIND, delta.key.clone()));
        } else {
            T::touch(delta, &[before, after], dirty);
        }
    }
}
