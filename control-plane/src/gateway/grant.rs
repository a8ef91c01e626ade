//! Decides whether a reference into another namespace is allowed (ReferenceGrant).

use crate::{
    api::{NamespacedName, group},
    world::World,
};

/// Whether an object of the Gateway API, of kind `from_kind` and in namespace `from`, may refer to `to`, an object of
/// the given group and kind.
pub(super) fn may_refer(
    world: &World,
    (from_kind, from): (&str, &str),
    to_group: &str,
    to_kind: &str,
    to: &NamespacedName,
) -> bool {
    from == to.namespace
        || world.grants_in(&to.namespace).any(|grant| {
            grant
                .spec
                .from
                .iter()
                .any(|f| f.group == group::GATEWAY && f.kind == from_kind && f.namespace == from)
                && grant.spec.to.iter().any(|t| {
                    t.group == to_group
                        && t.kind == to_kind
                        && t.name.as_ref().is_none_or(|name| *name == to.name)
                })
        })
}
