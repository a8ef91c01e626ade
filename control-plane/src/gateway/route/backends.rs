//! Looks up what routes refer to; each backend once, however many routes name it.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    api::{BackendRef, InferencePool, NamespacedName, group},
    gateway::{
        fault::Fault,
        grant,
        ir::{Cluster, ClusterName},
        pool::{self, ResolvedPool},
        service,
    },
    world::World,
};

/// Looks up backends in a World.
pub(in crate::gateway) struct Backends<'w> {
    world: &'w World,
    found: &'w mut Found,
}

/// What the routes of one Gateway refer to, as far as it was looked up.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Found {
    services: BTreeMap<(NamespacedName, Option<u16>), Result<Cluster, Fault>>,
    pools: BTreeMap<NamespacedName, Option<(Arc<InferencePool>, ResolvedPool)>>,
}

/// What a reference turned out to be.
pub(super) struct Resolution {
    /// The cluster, or what is wrong.
    pub(super) target: Result<ClusterName, Fault>,
    /// What to tell although it resolves.
    pub(super) note: Option<String>,
    /// The pool, if it is one that exists and may be referred to.
    pub(super) pool: Option<NamespacedName>,
}

impl<'w> Backends<'w> {
    /// Looks up backends, except those that were found before in an equal World.
    pub(in crate::gateway) fn new(world: &'w World, found: &'w mut Found) -> Self {
        Self { world, found }
    }

    /// Looks up a backend of a rule of a route in `namespace`.
    pub(super) fn resolve(&mut self, namespace: &str, reference: &BackendRef) -> Resolution {
        let key = NamespacedName::new(reference.namespace.as_deref().unwrap_or(namespace), &reference.name);
        // The API server fills in the core group, so an absent and an empty group are the same.
        let written = reference.group.as_deref().unwrap_or_default();
        match (written, reference.kind.as_str()) {
            (group::CORE, "Service") => {
                let target = self
                    .permitted(namespace, group::CORE, "Service", &key)
                    .and_then(|()| self.service(key, reference.port));
                Resolution { target, note: None, pool: None }
            }
            (group::CORE | group::INFERENCE, "InferencePool") => {
                let note = written.is_empty().then(|| {
                    format!(
                        "kind InferencePool without group was read as {0}; add `group: {0}`",
                        group::INFERENCE
                    )
                });
                let permitted = self.permitted(namespace, group::INFERENCE, "InferencePool", &key);
                let target = permitted.and_then(|()| self.pool(&key));
                let exists = self.found.pools.get(&key).is_some_and(Option::is_some);
                let known =
                    exists && target.as_ref().err().is_none_or(|f| f.reason != Some("RefNotPermitted"));
                Resolution { target, note, pool: known.then_some(key) }
            }
            _ => Resolution { target: Err(unsupported_kind(reference)), note: None, pool: None },
        }
    }

    /// Looks up who gets copies: Services only, as copies do not pass a pool's picker.
    pub(super) fn mirror(&mut self, namespace: &str, reference: &BackendRef) -> Result<ClusterName, Fault> {
        match reference.kind.as_str() {
            "InferencePool" => Err(Fault::invalid_kind(
                "copies do not pass an endpoint picker, so an InferencePool cannot get them; name a Service"
                    .into(),
            )),
            _ => self.resolve(namespace, reference).target,
        }
    }

    fn permitted(&self, from: &str, to_group: &str, to_kind: &str, to: &NamespacedName) -> Result<(), Fault> {
        if grant::may_refer(self.world, ("HTTPRoute", from), to_group, to_kind, to) {
            return Ok(());
        }
        Err(Fault::not_permitted(format!(
            "{to_kind} {to} is in another namespace; add a ReferenceGrant in namespace {} from HTTPRoute in namespace \
             {from} to {to_kind}",
            to.namespace
        )))
    }

    fn service(&mut self, key: NamespacedName, port: Option<u16>) -> Result<ClusterName, Fault> {
        let id = (key, port);
        if let Some(found) = self.found.services.get(&id) {
            return found.as_ref().map(|cluster| cluster.name.clone()).map_err(Clone::clone);
        }
        let found = service::cluster(self.world, &id.0, port);
        let target = found.as_ref().map(|cluster| cluster.name.clone()).map_err(Clone::clone);
        self.found.services.insert(id, found);
        target
    }

    fn pool(&mut self, key: &NamespacedName) -> Result<ClusterName, Fault> {
        if !self.found.pools.contains_key(key) {
            let found = self.world.pools.get(key);
            let found = found.map(|pool| (Arc::clone(pool), pool::resolve(self.world, pool)));
            self.found.pools.insert(key.clone(), found);
        }
        match self.found.pools.get(key).and_then(Option::as_ref) {
            Some((_, pool)) => {
                pool.cluster.as_ref().map(|cluster| cluster.name.clone()).map_err(Clone::clone)
            }
            None => Err(Fault::backend_not_found(format!(
                "InferencePool {key} does not exist; create it or correct the name"
            ))),
        }
    }
}

impl Found {
    /// How many references were looked up.
    pub(in crate::gateway) fn len(&self) -> usize {
        self.services.len() + self.pools.len()
    }

    /// The clusters of these names, with those of their pickers.
    pub(in crate::gateway) fn clusters<'n>(
        &self,
        names: impl Iterator<Item = &'n ClusterName>,
    ) -> BTreeMap<ClusterName, Cluster> {
        let services =
            self.services.values().filter_map(|found| found.as_ref().ok()).map(|c| (&c.name, (c, None)));
        let pools = self.pools.values().flatten().filter_map(|(_, pool)| {
            let cluster = pool.cluster.as_ref().ok()?;
            Some((&cluster.name, (cluster, pool.picker_cluster.as_ref())))
        });
        let known: BTreeMap<&ClusterName, (&Cluster, Option<&Cluster>)> = services.chain(pools).collect();
        let mut out = BTreeMap::new();
        for name in names {
            if let Some((cluster, picker)) = known.get(name) {
                out.insert(name.clone(), (*cluster).clone());
                // Two pools may share a picker and disagree on its TLS: the order of names decides.
                if let Some(picker) = picker {
                    out.entry(picker.name.clone()).or_insert_with(|| (*picker).clone());
                }
            }
        }
        out
    }

    /// A pool that some route refers to.
    pub(in crate::gateway) fn pool(
        &self,
        key: &NamespacedName,
    ) -> Option<&(Arc<InferencePool>, ResolvedPool)> {
        self.pools.get(key)?.as_ref()
    }
}

fn unsupported_kind(reference: &BackendRef) -> Fault {
    let written = reference.group.as_deref().unwrap_or_default();
    let remedy = match reference.kind.as_str() {
        "InferencePool" => format!("use group {}", group::INFERENCE),
        "InferencePoolImport" => {
            "pools of other clusters are not served; name an InferencePool of this one".into()
        }
        "Service" => "Services are in the core group; remove group".into(),
        _ => "name a Service or an InferencePool".into(),
    };
    Fault::invalid_kind(format!(
        "kind {:?} of group {written:?} is no backend that is served; {remedy}",
        reference.kind
    ))
}
