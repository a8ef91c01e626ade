//! Decides whether an object's status has to be written, and what the fields that are ours become.
//!
//! ```text
//! desired (plan) ─┐
//! observed ───────┴▶ lists by key: ours replaced in place, others kept ─▶ differs? ─ yes ─▶ the fields to write
//! ```
//!
//! `status.parents` of HTTPRoutes and InferencePools, and `status.ancestors` of policies, is an atomic list that all controllers share, so whoever writes it
//! writes all of it: entries of other controllers stay as they are and where they are. Conditions of types that are
//! not ours stay too. What is ours is compared without its order.

use serde_json::{Map, Value, json};

use crate::api::{Kind, group};

/// A list that controllers share: its name, that of an entry's reference, and `maxItems`.
#[derive(Clone, Copy)]
struct Shared {
    list: &'static str,
    reference: &'static str,
    room: usize,
}

const PARENTS: Shared = Shared { list: "parents", reference: "parentRef", room: 32 };
const ANCESTORS: Shared = Shared { list: "ancestors", reference: "ancestorRef", room: 16 };

/// What became of a comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// The top-level fields of the status to replace; `None` when nothing differs.
    pub fields: Option<Value>,
    /// Parents or ancestors of ours for which the list has no room.
    pub dropped: usize,
}

/// An object's status as it is.
#[derive(Clone, Copy, Debug)]
pub struct Current<'a> {
    /// Generation of the object's spec.
    pub generation: i64,
    /// The raw status.
    pub status: &'a Value,
}

/// Compares. `desired` is `None` for objects that we have nothing to say about: entries of ours are taken out then.
/// Times of conditions whose status changes become `now` (RFC 3339).
///
/// A verdict about an older generation than the one that was written is not written: who computed it has not yet seen
/// the object's latest content.
pub fn merge(
    kind: Kind,
    desired: Option<&Value>,
    current: Current<'_>,
    controller: &str,
    now: &str,
) -> Merged {
    match kind {
        Kind::GatewayClass | Kind::Gateway => desired.map_or_else(Merged::default, |desired| {
            let merger = Merger { generation: current.generation, now };
            let fields = merger.fields(desired, current.status);
            Merged { fields, dropped: 0 }
        }),
        Kind::HTTPRoute | Kind::InferencePool => {
            let merger = Merger { generation: current.generation, now };
            merger.shared(PARENTS, desired, current.status, controller, kind)
        }
        Kind::BackendTLSPolicy => {
            let merger = Merger { generation: current.generation, now };
            merger.shared(ANCESTORS, desired, current.status, controller, kind)
        }
        _ => Merged::default(),
    }
}

/// Types of conditions that are ours, by the list they are in.
fn own_types(list: &str) -> &'static [&'static str] {
    match list {
        "listeners" => &["Accepted", "Programmed", "ResolvedRefs", "Conflicted"],
        "parents" => &["Accepted", "ResolvedRefs", "PartiallyInvalid"],
        "ancestors" => &["Accepted", "ResolvedRefs"],
        _ => &["Accepted", "Programmed", "SupportedVersion"],
    }
}

#[derive(Clone, Copy)]
struct Merger<'a> {
    generation: i64,
    now: &'a str,
}

impl Merger<'_> {
    /// The fields of `desired` that differ from those of `observed`.
    fn fields(self, desired: &Value, observed: &Value) -> Option<Value> {
        if self.is_stale(&desired["conditions"], &observed["conditions"]) {
            return None;
        }
        let mut fields = Map::new();
        for (name, wanted) in desired.as_object()? {
            let there = &observed[name];
            let merged = match name.as_str() {
                "conditions" => self.conditions("", wanted, there),
                "listeners" => self.listeners(wanted, there),
                _ => wanted.clone(),
            };
            if merged != *there && !(there.is_null() && is_empty(&merged)) {
                fields.insert(name.clone(), merged);
            }
        }
        (!fields.is_empty()).then_some(Value::Object(fields))
    }

    fn listeners(self, desired: &Value, observed: &Value) -> Value {
        merge_list(
            items(desired),
            items(observed),
            |l| l["name"].clone(),
            |wanted, there| match wanted {
                Some(wanted) => {
                    let mut entry = wanted.clone();
                    let before = there.map_or(&Value::Null, |there| &there["conditions"]);
                    entry["conditions"] = self.conditions("listeners", &wanted["conditions"], before);
                    Some(entry)
                }
                None => None,
            },
        )
    }

    /// Conditions by type: ours in place of what was there, others as they are.
    fn conditions(self, list: &str, desired: &Value, observed: &Value) -> Value {
        let own = own_types(list);
        merge_list(
            items(desired),
            items(observed),
            |c| c["type"].clone(),
            |wanted, there| match (wanted, there) {
                (Some(wanted), there) => Some(self.condition(wanted, there)),
                (None, Some(there)) if !own.iter().any(|own| there["type"] == **own) => Some(there.clone()),
                (None, _) => None,
            },
        )
    }

    /// The condition with its time: that of the one before while the status is the same.
    fn condition(self, wanted: &Value, there: Option<&Value>) -> Value {
        let before = there.filter(|there| there["status"] == wanted["status"]);
        let time = before.and_then(|there| there["lastTransitionTime"].as_str()).unwrap_or(self.now);
        let mut condition = wanted.clone();
        condition["lastTransitionTime"] = Value::from(time);
        condition
    }

    /// Whether a condition of the same type speaks of a later generation than ours, one that the object has.
    fn is_stale(self, desired: &Value, observed: &Value) -> bool {
        let generation = |c: &Value| c["observedGeneration"].as_i64().unwrap_or_default();
        items(desired).iter().any(|wanted| {
            let there = items(observed).iter().find(|there| there["type"] == wanted["type"]);
            there.map(generation).is_some_and(|seen| generation(wanted) < seen && seen <= self.generation)
        })
    }

    fn shared(
        self,
        shared: Shared,
        desired: Option<&Value>,
        observed: &Value,
        controller: &str,
        kind: Kind,
    ) -> Merged {
        let Shared { list, reference, room } = shared;
        let observed = &observed[list];
        let mut wanted: Vec<&Value> = desired.map_or(&[][..], |d| items(&d[list])).iter().collect();
        let replaces = kind == Kind::InferencePool && !wanted.is_empty();
        let mut merged = Vec::new();
        // Marks entries of ours, which give way when the list is full.
        let mut own = Vec::new();
        for there in items(observed) {
            if there["controllerName"] != *controller {
                if !(replaces && is_placeholder(there)) {
                    merged.push(there.clone());
                    own.push(false);
                }
                continue;
            }
            let key = key(&there[reference]);
            if let Some(at) = wanted.iter().position(|wanted| self::key(&wanted[reference]) == key) {
                merged.push(self.entry(list, wanted.remove(at), Some(there)));
                own.push(true);
            }
        }
        merged.extend(wanted.into_iter().map(|wanted| self.entry(list, wanted, None)));
        own.resize(merged.len(), true);
        let dropped = make_room(&mut merged, &own, room);
        let same = merged.as_slice() == items(observed);
        Merged { fields: (!same).then(|| json!({ list: merged })), dropped }
    }

    fn entry(self, list: &str, wanted: &Value, there: Option<&Value>) -> Value {
        if let Some(there) = there
            && self.is_stale(&wanted["conditions"], &there["conditions"])
        {
            return there.clone();
        }
        let mut entry = wanted.clone();
        let before = there.map_or(&Value::Null, |there| &there["conditions"]);
        entry["conditions"] = self.conditions(list, &wanted["conditions"], before);
        entry
    }
}

/// Merges two lists by key: `one` decides about each entry, in the order of `observed`, then what is only desired.
fn merge_list(
    desired: &[Value],
    observed: &[Value],
    key: impl Fn(&Value) -> Value,
    one: impl Fn(Option<&Value>, Option<&Value>) -> Option<Value>,
) -> Value {
    let find = |list: &[Value], wanted: &Value| list.iter().position(|entry| key(entry) == *wanted);
    let kept = observed.iter().filter_map(|there| {
        let wanted = find(desired, &key(there)).map(|at| &desired[at]);
        one(wanted, Some(there))
    });
    let added = desired.iter().filter(|wanted| find(observed, &key(wanted)).is_none());
    kept.chain(added.filter_map(|wanted| one(Some(wanted), None))).collect()
}

/// Takes entries of ours out, the last first, until the list fits; returns how many.
fn make_room(parents: &mut Vec<Value>, own: &[bool], room: usize) -> usize {
    let before = parents.len();
    for at in (0..before).rev().filter(|at| own[*at]) {
        if parents.len() <= room {
            break;
        }
        parents.remove(at);
    }
    before - parents.len()
}

/// A reference to a parent or ancestor with its defaults.
fn key(reference: &Value) -> Value {
    let mut reference = reference.clone();
    if let Some(fields) = reference.as_object_mut() {
        fields.entry("group").or_insert_with(|| group::GATEWAY.into());
        fields.entry("kind").or_insert_with(|| "Gateway".into());
    }
    reference
}

/// What the CRD put into pools that no controller had spoken of.
fn is_placeholder(entry: &Value) -> bool {
    entry["parentRef"]["kind"] == "Status" && entry["parentRef"]["name"] == "default"
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_some_and(Vec::is_empty)
}

#[cfg(test)]
mod tests;
