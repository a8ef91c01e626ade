//! Which pools select a Pod.
//!
//! ```text
//! namespace ─▶ label keys of a selector ─▶ their values ─▶ pools
//! ```
//!
//! Pools of a namespace use few different sets of label keys (often one), so a Pod is found by looking up its own
//! values for each set: no walk over pools, however many share a label.

use std::collections::BTreeMap;

use imbl::{OrdMap, OrdSet};

use crate::api::{InferencePool, NamespacedName, Pod};

type Words = Vec<String>;

/// Selectors of all pools.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Selectors {
    by_namespace: OrdMap<String, OrdMap<Words, OrdMap<Words, OrdSet<NamespacedName>>>>,
}

impl Selectors {
    /// Adds a pool. A selector without labels selects nothing (the API forbids it).
    pub(super) fn insert(&mut self, pool: &InferencePool) {
        let Some((keys, values)) = split(&pool.spec.selector.match_labels) else { return };
        let by_keys = self.by_namespace.entry(pool.metadata.namespace.clone()).or_default();
        by_keys.entry(keys).or_default().entry(values).or_default().insert(pool.metadata.key());
    }

    /// Removes a pool.
    pub(super) fn remove(&mut self, pool: &InferencePool) {
        let Some((keys, values)) = split(&pool.spec.selector.match_labels) else { return };
        let namespace = &pool.metadata.namespace;
        let Some(by_keys) = self.by_namespace.get_mut(namespace) else { return };
        let Some(by_values) = by_keys.get_mut(&keys) else { return };
        let Some(pools) = by_values.get_mut(&values) else { return };
        pools.remove(&pool.metadata.key());
        if pools.is_empty() {
            by_values.remove(&values);
        }
        if by_values.is_empty() {
            by_keys.remove(&keys);
        }
        if by_keys.is_empty() {
            self.by_namespace.remove(namespace);
        }
    }

    /// The pools that select a Pod.
    pub(super) fn matching<'s>(&'s self, pod: &'s Pod) -> impl Iterator<Item = &'s NamespacedName> {
        let labels = &pod.metadata.labels;
        let by_keys = self.by_namespace.get(&pod.metadata.namespace);
        by_keys.into_iter().flat_map(|by_keys| by_keys.iter()).flat_map(move |(keys, by_values)| {
            let values: Option<Words> = keys.iter().map(|key| labels.get(key).cloned()).collect();
            values.and_then(|values| by_values.get(&values)).into_iter().flat_map(|pools| pools.iter())
        })
    }
}

fn split(labels: &BTreeMap<String, String>) -> Option<(Words, Words)> {
    (!labels.is_empty()).then(|| (labels.keys().cloned().collect(), labels.values().cloned().collect()))
}

/// Whether a pool selects a Pod.
pub(super) fn selects(pool: &InferencePool, pod: &Pod) -> bool {
    let wanted = &pool.spec.selector.match_labels;
    let labels = &pod.metadata.labels;
    pool.metadata.namespace == pod.metadata.namespace
        && !wanted.is_empty()
        && wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}
