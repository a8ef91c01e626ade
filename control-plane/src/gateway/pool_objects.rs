//! What applies to a pool's requests: objectives and rewrites, in the order in which pickers use them.
//!
//! The retired InferenceModel counts as both: its criticality is an objective (Critical 100, Standard 0, Sheddable
//! -100) that requests for its model use without naming it, its target models are a rewrite. Of several
//! InferenceModels with one model name in a pool the oldest counts alone (`ModelNameInUse`).

use std::collections::{BTreeMap, BTreeSet};

use super::precedence::Age;
use crate::{
    api::{Criticality, InferenceModel, NamespacedName, ObjectMeta},
    world::World,
};

/// A priority that requests choose by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Objective {
    /// The object's `metadata.name`.
    pub name: String,
    /// Higher is more important; negative is sheddable.
    pub priority: i32,
    /// The object's `signalbox.dev/…` annotations.
    pub annotations: BTreeMap<String, String>,
    /// Requests for these models use the objective without naming it.
    pub models: Vec<String>,
}

/// One rule that replaces model names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rewrite {
    /// The object's `metadata.name`.
    pub source: String,
    /// Exact model names; empty: every request.
    pub models: Vec<String>,
    /// Model names with their shares; never empty, the sum of the shares is positive.
    pub targets: Vec<(String, u32)>,
}

/// A pool's objectives, sorted by name, and rewrites, in order of precedence: exact before generic, the oldest object
/// first, then the order within the object.
pub fn pool_objects(world: &World, pool: &NamespacedName) -> (Vec<Objective>, Vec<Rewrite>) {
    let models = winning_models(world, pool);
    (objectives(world, pool, &models), rewrites(world, pool, &models))
}

/// The InferenceModels of the pool that own their model name, oldest first.
fn winning_models<'w>(world: &'w World, pool: &NamespacedName) -> Vec<&'w InferenceModel> {
    let mut models: Vec<&InferenceModel> = world.models_of(pool).map(|model| &**model).collect();
    models.sort_by_key(|model| Age::of(&model.metadata));
    let mut taken = BTreeSet::new();
    models.retain(|model| taken.insert(&model.spec.model_name));
    models
}

fn objectives(world: &World, pool: &NamespacedName, models: &[&InferenceModel]) -> Vec<Objective> {
    let named = world.objectives_of(pool).map(|objective| Objective {
        name: objective.metadata.name.clone(),
        priority: objective.spec.priority.unwrap_or_default(),
        annotations: ours(&objective.metadata),
        models: Vec::new(),
    });
    let mut by_name: BTreeMap<String, Objective> = named.map(|o| (o.name.clone(), o)).collect();
    for model in models {
        let name = &model.metadata.name;
        // An InferenceObjective of the same name says the priority.
        let objective = by_name.entry(name.clone()).or_insert_with(|| Objective {
            name: name.clone(),
            priority: priority(model.spec.criticality.as_ref()),
            annotations: ours(&model.metadata),
            models: Vec::new(),
        });
        objective.models.push(model.spec.model_name.clone());
    }
    by_name.into_values().collect()
}

fn priority(criticality: Option<&Criticality>) -> i32 {
    match criticality {
        Some(Criticality::Critical) => 100,
        Some(Criticality::Sheddable) => -100,
        Some(Criticality::Standard | Criticality::Unknown(_)) | None => 0,
    }
}

fn rewrites(world: &World, pool: &NamespacedName, models: &[&InferenceModel]) -> Vec<Rewrite> {
    let mut found: Vec<((bool, Age), Rewrite)> = Vec::new();
    for object in world.rewrites_of(pool) {
        for rule in &object.spec.rules {
            let exact = rule.matches.iter().map(|entry| &entry.model);
            let exact = exact.filter(|model| model.kind.as_deref().unwrap_or("Exact") == "Exact");
            let models: Vec<String> = exact.map(|model| model.value.clone()).collect();
            let only_unknown = models.is_empty() && !rule.matches.is_empty();
            let targets = shares(rule.targets.iter().map(|t| (&t.model_rewrite, t.weight)));
            if !only_unknown && !targets.is_empty() {
                let rewrite = Rewrite { source: object.metadata.name.clone(), models, targets };
                found.push(((rewrite.models.is_empty(), Age::of(&object.metadata)), rewrite));
            }
        }
    }
    for model in models {
        let targets = shares(model.spec.target_models.iter().map(|t| (&t.name, t.weight)));
        if !targets.is_empty() {
            let models = vec![model.spec.model_name.clone()];
            let rewrite = Rewrite { source: model.metadata.name.clone(), models, targets };
            found.push(((false, Age::of(&model.metadata)), rewrite));
        }
    }
    // Stable: key order among objects of one age, list order within an object.
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, rewrite)| rewrite).collect()
}

/// Weights are for all targets or none: equal shares for none; among weighted targets one without gets no share.
fn shares<'a>(targets: impl Iterator<Item = (&'a String, Option<u32>)>) -> Vec<(String, u32)> {
    let targets: Vec<(&String, Option<u32>)> = targets.collect();
    let weighted = targets.iter().any(|(_, weight)| weight.is_some_and(|w| w > 0));
    let share = |weight: Option<u32>| if weighted { weight.unwrap_or(0) } else { 1 };
    let shares = targets.into_iter().map(|(name, weight)| (name.clone(), share(weight)));
    shares.filter(|(_, share)| *share > 0).collect()
}

fn ours(meta: &ObjectMeta) -> BTreeMap<String, String> {
    let annotations = meta.annotations.iter().filter(|(name, _)| name.starts_with("signalbox.dev/"));
    annotations.map(|(name, value)| (name.clone(), value.clone())).collect()
}
