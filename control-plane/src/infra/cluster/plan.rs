//! What to do so that what exists becomes what should exist. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    desired::{Desired, Fleet},
    manifest::{Manifest, ManifestKey, ManifestKind},
    names::{INSTALLATION_ANNOTATION, Owner},
    observed::Observed,
};

/// One call to the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Apply the object.
    Apply(Manifest),
    /// Delete the object, if it still is the one with this UID.
    Delete(ManifestKey, String),
}

/// What to do for each owner; nothing for those that are as they should be.
pub fn plan(desired: &Desired, observed: &Observed) -> BTreeMap<Owner, Vec<Action>> {
    let mut actions: BTreeMap<Owner, Vec<Action>> = BTreeMap::new();
    for (owner, fleet) in &desired.fleets {
        let Fleet::Managed(managed) = fleet else { continue };
        let waits =
            |manifest: &Manifest| managed.waits_for.is_some() && manifest.key.0 == ManifestKind::Deployment;
        let stale = managed.objects.iter().filter(|m| !observed.is_current(m) && !waits(m));
        let stale: Vec<Action> = stale.cloned().map(Action::Apply).collect();
        if !stale.is_empty() {
            actions.insert(owner.clone(), stale);
        }
    }
    let wanted: BTreeMap<&Owner, BTreeSet<&ManifestKey>> = desired
        .fleets
        .iter()
        .filter_map(|(owner, fleet)| match fleet {
            Fleet::Managed(managed) => Some((owner, managed.objects.iter().map(|m| &m.key).collect())),
            Fleet::External(_) | Fleet::Held(_) => None,
        })
        .collect();
    for (key, owner, live) in observed.owned() {
        let is_held = matches!(desired.fleets.get(owner), Some(Fleet::Held(_)));
        let is_wanted = wanted.get(owner).is_some_and(|keys| keys.contains(key));
        let meta = &live.object["metadata"];
        let is_going = !meta["deletionTimestamp"].is_null();
        let made_by = meta["annotations"][INSTALLATION_ANNOTATION].as_str();
        let is_ours = made_by.is_none_or(|installation| installation == desired.installation);
        if is_ours && !is_held && !is_wanted && !is_going {
            let uid = meta["uid"].as_str().unwrap_or_default().to_owned();
            actions.entry(owner.clone()).or_default().push(Action::Delete(key.clone(), uid));
        }
    }
    actions
}
