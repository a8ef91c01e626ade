//! The priority of a request: the objective that it names, else its model's, else 0.

use crate::accelerator::Policy;
use crate::pool::{Objective, Snapshot};

/// Priority of a request that names `objective` and asks for `model`. A name that is not known counts as none.
pub fn priority(snapshot: &Snapshot, objective: Option<&[u8]>, model: Option<&str>) -> i32 {
    find(snapshot, objective, model).map_or(0, |(_, objective)| objective.priority)
}

/// What such a request wants of accelerators: its objective's policy, else the pool's.
pub fn policy<'a>(snapshot: &'a Snapshot, objective: Option<&[u8]>, model: Option<&str>) -> &'a Policy {
    find(snapshot, objective, model).map_or(&snapshot.policy, |(_, objective)| &objective.policy)
}

/// The name of the objective that applies to such a request.
pub fn name<'a>(snapshot: &'a Snapshot, objective: Option<&[u8]>, model: Option<&str>) -> Option<&'a str> {
    find(snapshot, objective, model).map(|(name, _)| name.as_str())
}

fn find<'a>(
    snapshot: &'a Snapshot,
    objective: Option<&[u8]>,
    model: Option<&str>,
) -> Option<(&'a String, &'a Objective)> {
    let named = objective.and_then(|name| std::str::from_utf8(name).ok());
    let by_model = || snapshot.model_objectives.get(model?).map(String::as_str);
    let objectives = &snapshot.objectives;
    named.and_then(|name| objectives.get_key_value(name)).or_else(|| objectives.get_key_value(by_model()?))
}
