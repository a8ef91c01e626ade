//! The statuses that were read, and which objects differ between two Worlds.

use imbl::ordmap::DiffItem;
use serde_json::Value;

use crate::{
    api::{Kind, NamespacedName, Object, ObjectRef, ObservedStatus},
    world::{Objects, World},
};

/// An object's status at one version.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observed {
    pub(super) resource_version: String,
    pub(super) generation: i64,
    pub(super) status: ObservedStatus,
}

impl Observed {
    /// Whether this version is older than `other`. Resource versions are comparable as numbers (KEP-5504); where one is
    /// no number nothing is older, which costs a conflict and no more.
    pub(super) fn is_older_than(&self, other: &Self) -> bool {
        let number = |observed: &Self| observed.resource_version.parse::<u64>().ok();
        number(self).zip(number(other)).is_some_and(|(this, other)| this < other)
    }

    /// The raw status.
    pub(super) fn status(&self) -> &Value {
        self.status.value()
    }
}

/// What the World has of an object.
pub(super) fn observed(world: &World, object: &ObjectRef) -> Option<Observed> {
    fn of<T: Object>(
        objects: &Objects<T>,
        key: &NamespacedName,
        status: impl Fn(&T) -> &ObservedStatus,
    ) -> Option<Observed> {
        let object = objects.get(key)?;
        Some(Observed {
            resource_version: object.meta().resource_version.clone(),
            generation: object.meta().generation,
            status: status(object).clone(),
        })
    }
    match object.kind {
        Kind::GatewayClass => of(&world.gateway_classes, &object.key, |o| &o.status),
        Kind::Gateway => of(&world.gateways, &object.key, |o| &o.status),
        Kind::HTTPRoute => of(&world.http_routes, &object.key, |o| &o.status),
        Kind::BackendTLSPolicy => of(&world.backend_tls_policies, &object.key, |o| &o.status),
        Kind::InferencePool => of(&world.pools, &object.key, |o| &o.status),
        _ => None,
    }
}

/// Names of objects with a status of ours, of which the two Worlds have something different. Shared parts are skipped.
pub(super) fn changed(before: &World, after: &World) -> Vec<ObjectRef> {
    let mut found = Vec::new();
    keys(&before.gateway_classes, &after.gateway_classes, &mut found);
    keys(&before.gateways, &after.gateways, &mut found);
    keys(&before.http_routes, &after.http_routes, &mut found);
    keys(&before.backend_tls_policies, &after.backend_tls_policies, &mut found);
    keys(&before.pools, &after.pools, &mut found);
    found
}

fn keys<T: Object>(before: &Objects<T>, after: &Objects<T>, found: &mut Vec<ObjectRef>) {
    let keys = before.diff(after).map(|item| match item {
        DiffItem::Add(key, _) | DiffItem::Update { new: (key, _), .. } | DiffItem::Remove(key, _) => {
            key.clone()
        }
    });
    found.extend(keys.map(|key| ObjectRef::new(T::KIND, key)));
}
