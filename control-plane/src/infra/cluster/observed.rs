//! What is known to exist of what carries our label.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    manifest::{Manifest, ManifestKey, ManifestKind},
    names::Owner,
};
use crate::api::NamespacedName;

/// Field manager of what is applied.
pub(super) const FIELD_MANAGER: &str = "signalbox";

/// What is known to exist.
#[derive(Debug, Default)]
pub struct Observed {
    objects: BTreeMap<ManifestKey, Live>,
    /// Keys seen since a kind's list began again.
    relisted: BTreeMap<ManifestKind, BTreeSet<ManifestKey>>,
    /// Kinds whose first list has come.
    listed: BTreeSet<ManifestKind>,
    /// What the server made of our fields when they were applied, where it differs from what was sent.
    normalised: BTreeMap<ManifestKey, (Value, Value)>,
}

/// One object as the server has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// Without managed fields.
    pub object: Value,
    /// For whom it was provisioned.
    pub owner: Option<Owner>,
    /// Whether the number of replicas is a field that we applied.
    pub owns_replicas: bool,
}

impl Observed {
    /// Whether every kind has been listed once.
    pub fn is_complete(&self) -> bool {
        self.listed.len() == ManifestKind::ALL.len()
    }

    /// The object, if it exists.
    pub fn get(&self, key: &ManifestKey) -> Option<&Live> {
        self.objects.get(key)
    }

    /// All objects with a known owner.
    pub fn owned(&self) -> impl Iterator<Item = (&ManifestKey, &Owner, &Live)> {
        self.objects.iter().filter_map(|(key, live)| Some((key, live.owner.as_ref()?, live)))
    }

    /// A list of the kind begins.
    pub fn begin(&mut self, kind: ManifestKind) {
        self.relisted.insert(kind, BTreeSet::new());
    }

    /// The list of the kind is complete: what it did not have is gone.
    pub fn end(&mut self, kind: ManifestKind) {
        if let Some(seen) = self.relisted.remove(&kind) {
            self.objects.retain(|key, _| key.0 != kind || seen.contains(key));
        }
        self.listed.insert(kind);
    }

    /// The object is as given. News that is older than what is known is dropped.
    pub fn put(&mut self, kind: ManifestKind, object: Value) {
        let live = live(object);
        let text = |field: &str| live.object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = (kind, NamespacedName::new(text("namespace"), text("name")));
        if let Some(seen) = self.relisted.get_mut(&kind) {
            seen.insert(key.clone());
        }
        let is_older =
            self.objects.get(&key).is_some_and(|held| version(&held.object) > version(&live.object));
        if !is_older {
            self.objects.insert(key, live);
        }
    }

    /// The object is gone.
    pub fn remove(&mut self, key: &ManifestKey) {
        self.objects.remove(key);
        self.normalised.remove(key);
    }

    /// The server answered an apply with `result`.
    pub fn applied(&mut self, manifest: &Manifest, result: Value) {
        let projection = manifest.projection(&result);
        match projection == manifest.object {
            true => self.normalised.remove(&manifest.key),
            false => self.normalised.insert(manifest.key.clone(), (manifest.object.clone(), projection)),
        };
        self.put(manifest.key.0, result);
    }

    /// Whether applying would change nothing.
    pub fn is_current(&self, manifest: &Manifest) -> bool {
        let Some(live) = self.objects.get(&manifest.key) else { return false };
        let normalised = || {
            self.normalised.get(&manifest.key).is_some_and(|(sent, made)| {
                *sent == manifest.object && manifest.projection(&live.object) == *made
            })
        };
        manifest.is_in(&live.object) || normalised()
    }
}

/// Resource versions are ordered numbers.
fn version(object: &Value) -> Option<u128> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

fn live(mut object: Value) -> Live {
    let empty = Map::new();
    let managers = object["metadata"].as_object_mut().and_then(|meta| meta.remove("managedFields"));
    let owns_replicas = managers.iter().flat_map(|m| m.as_array()).flatten().any(|entry| {
        entry["manager"] == FIELD_MANAGER
            && entry["operation"] == "Apply"
            && entry["fieldsV1"]["f:spec"].get("f:replicas").is_some()
    });
    let meta = &object["metadata"];
    let annotations = meta["annotations"].as_object().unwrap_or(&empty);
    let annotations: BTreeMap<String, String> = annotations
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    let owner = Owner::of(meta["namespace"].as_str().unwrap_or_default(), &annotations);
    Live { object, owner, owns_replicas }
}
