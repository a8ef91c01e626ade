//! One kind out of several API groups: the newer group wins, as with manifests.
//!
//! ```text
//! what a resource's watch heard ─▶ objects of each group, where a kind has two ─▶ Edit of the kind
//! ```

use std::collections::BTreeMap;

use super::{coalesce::Edit, object::Outcome, table::Resource};
use crate::{
    api::{Kind, NamespacedName, ObjectRef},
    source::{AnyObject, Diagnostic},
};

/// What the watch of one resource heard.
#[derive(Clone, Debug)]
pub(super) enum Heard {
    /// It does not exist in the cluster.
    Absent,
    /// All its objects.
    Listed(Vec<(NamespacedName, Outcome)>),
    /// One object.
    Changed(NamespacedName, Outcome),
    /// One object is gone.
    Deleted(NamespacedName),
}

type Objects = BTreeMap<NamespacedName, AnyObject>;

/// The objects of one kind that two groups have.
#[derive(Clone, Debug, Default)]
struct Sides {
    newer: Objects,
    older: Objects,
}

impl Sides {
    fn of(&mut self, superseded: bool) -> &mut Objects {
        if superseded { &mut self.older } else { &mut self.newer }
    }

    fn winner(&self, key: &NamespacedName) -> Option<&AnyObject> {
        self.newer.get(key).or_else(|| self.older.get(key))
    }

    fn winners(&self) -> Vec<AnyObject> {
        let mut all: BTreeMap<_, _> = self.older.iter().collect();
        all.extend(&self.newer);
        all.into_values().cloned().collect()
    }
}

/// The objects of kinds that several groups have; those of other kinds pass through.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    sides: BTreeMap<Kind, Sides>,
}

impl Groups {
    pub(super) fn of(table: &[Resource]) -> Self {
        let superseded = table.iter().filter(|resource| resource.superseded);
        Self { sides: superseded.map(|resource| (resource.kind, Sides::default())).collect() }
    }

    /// What it means for the kind; nothing when another group decides.
    pub(super) fn hear(&mut self, resource: &Resource, heard: Heard) -> Option<Edit> {
        let kind = resource.kind;
        let Some(sides) = self.sides.get_mut(&kind) else { return Some(pass(kind, heard)) };
        match heard {
            Heard::Absent => {
                sides.of(resource.superseded).clear();
                Some(Edit::Replace(kind, sides.winners(), Vec::new()))
            }
            Heard::Listed(outcomes) => {
                let before = std::mem::take(sides.of(resource.superseded));
                let (objects, invalid) = split(outcomes);
                let after = sides.of(resource.superseded);
                after.extend(objects.into_iter().map(|object| (object.key(), object)));
                for (key, _) in &invalid {
                    after.extend(before.get_key_value(key).map(|(k, v)| (k.clone(), v.clone())));
                }
                Some(Edit::Replace(kind, sides.winners(), invalid))
            }
            Heard::Changed(key, outcome) => {
                let hidden = resource.superseded && sides.newer.contains_key(&key);
                let edit = match outcome {
                    Ok(object) => {
                        sides.of(resource.superseded).insert(key, object.clone());
                        Edit::Apply(object)
                    }
                    Err(diagnostic) => Edit::Invalid(ObjectRef::new(kind, key), *diagnostic),
                };
                (!hidden).then_some(edit)
            }
            Heard::Deleted(key) => {
                let hidden = resource.superseded && sides.newer.contains_key(&key);
                sides.of(resource.superseded).remove(&key);
                let edit = match sides.winner(&key) {
                    Some(other) => Edit::Apply(other.clone()),
                    None => Edit::Delete(ObjectRef::new(kind, key)),
                };
                (!hidden).then_some(edit)
            }
        }
    }
}

fn pass(kind: Kind, heard: Heard) -> Edit {
    match heard {
        Heard::Absent => Edit::Replace(kind, Vec::new(), Vec::new()),
        Heard::Listed(outcomes) => {
            let (objects, invalid) = split(outcomes);
            Edit::Replace(kind, objects, invalid)
        }
        Heard::Changed(_, Ok(object)) => Edit::Apply(object),
        Heard::Changed(key, Err(diagnostic)) => Edit::Invalid(ObjectRef::new(kind, key), *diagnostic),
        Heard::Deleted(key) => Edit::Delete(ObjectRef::new(kind, key)),
    }
}

fn split(outcomes: Vec<(NamespacedName, Outcome)>) -> (Vec<AnyObject>, Vec<(NamespacedName, Diagnostic)>) {
    let (mut objects, mut invalid) = (Vec::with_capacity(outcomes.len()), Vec::new());
    for (key, outcome) in outcomes {
        match outcome {
            Ok(object) => objects.push(object),
            Err(diagnostic) => invalid.push((key, *diagnostic)),
        }
    }
    (objects, invalid)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        source::cluster::{
            coalesce::{Coalescer, Window},
            table::TABLE,
        },
        world::World,
    };

    /// The objectives that a reader sees, as `name=priority`.
    #[derive(Default)]
    struct Reader {
        world: World,
    }

    struct Cluster {
        groups: Groups,
        reader: Reader,
    }

    fn objective(name: &str, priority: i32) -> (NamespacedName, Outcome) {
        let object = json!({"metadata": {"name": name, "namespace": "n"},
            "spec": {"priority": priority, "poolRef": {"name": "p"}}});
        (key(name), Ok(AnyObject::deserialize(Kind::InferenceObjective, object).unwrap()))
    }

    fn key(name: &str) -> NamespacedName {
        NamespacedName::new("n", name)
    }

    fn unreadable(name: &str) -> (NamespacedName, Outcome) {
        let object = Some(ObjectRef::new(Kind::InferenceObjective, key(name)));
        (key(name), Err(Box::new(Diagnostic { object, ..Diagnostic::default() })))
    }

    impl Cluster {
        fn hears(&mut self, group: &str, heard: Heard) -> Vec<String> {
            let is_it = |r: &&Resource| r.kind == Kind::InferenceObjective && r.group == group;
            let resource = TABLE.iter().find(is_it).unwrap();
            if let Some(edit) = self.groups.hear(resource, heard) {
                let mut coalescer = Coalescer::new(Window::default());
                coalescer.add(edit, Instant::now());
                self.reader.world = self.reader.world.apply(&coalescer.take(false)).0;
            }
            let objectives = self.reader.world.objectives.values();
            objectives.map(|o| format!("{}={}", o.metadata.name, o.spec.priority.unwrap_or(0))).collect()
        }
    }

    #[test]
    fn the_newer_group_wins_and_the_older_one_steps_in() {
        let (new, old) = ("llm-d.ai", "inference.networking.x-k8s.io");
        let mut cluster = Cluster { groups: Groups::of(TABLE), reader: Reader::default() };
        let changed = |(key, outcome)| Heard::Changed(key, outcome);
        let listed = |objects: &[(&str, i32)]| {
            Heard::Listed(objects.iter().map(|(name, priority)| objective(name, *priority)).collect())
        };
        assert!(cluster.hears(new, Heard::Absent).is_empty());
        assert_eq!(cluster.hears(old, listed(&[("a", 1), ("b", 1)])), ["a=1", "b=1"]);
        assert_eq!(cluster.hears(new, listed(&[("b", 2), ("c", 2)])), ["a=1", "b=2", "c=2"]);
        assert_eq!(cluster.hears(old, changed(objective("b", 9))), ["a=1", "b=2", "c=2"]);
        assert_eq!(cluster.hears(new, Heard::Deleted(key("b"))), ["a=1", "b=9", "c=2"]);
        assert_eq!(cluster.hears(new, changed(objective("a", 3))), ["a=3", "b=9", "c=2"]);
        assert_eq!(cluster.hears(old, Heard::Deleted(key("a"))), ["a=3", "b=9", "c=2"]);
        assert_eq!(cluster.hears(new, changed(unreadable("c"))), ["a=3", "b=9", "c=2"]);
        assert_eq!(cluster.hears(new, Heard::Listed(vec![unreadable("a")])), ["a=3", "b=9"]);
        assert_eq!(cluster.hears(old, Heard::Absent), ["a=3"]);
        assert!(cluster.hears(new, Heard::Absent).is_empty());
    }
}
