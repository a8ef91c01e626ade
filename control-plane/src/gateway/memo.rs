//! Work kept from one resolution of a Gateway to the next.
//!
//! What a route compiles to depends on the route and on Services, InferencePools, ReferenceGrants, BackendTLSPolicies
//! and the ConfigMaps that these name. While those are the same objects, a route that is the same object keeps its compiled form, and so its `Arc`s: unchanged
//! routes of two resolutions are equal by pointer. Pods, EndpointSlices and status do not touch this.
//!
//! ```text
//! same Services, pools, grants, policies? ── no ──▶ forget everything
//!              └── yes ──▶ same Arc<HttpRoute>? ── yes ──▶ same Arc<CompiledRoute>
//! ```

use std::{collections::HashMap, sync::Arc};

use super::{
    backend_tls,
    certificate::Certificates,
    route::{Backends, CompiledRoute, Found, compile},
};
use crate::{
    api::{BackendTLSPolicy, ConfigMap, HttpRoute, InferencePool, ReferenceGrant, Service},
    world::{Objects, World},
};

/// References kept at most: those of routes that are gone are forgotten only together with the rest.
const MAX_FOUND: usize = 100_000;

/// Kept work of one Gateway. An empty one is always right, as is one of another World: what does not
/// apply is forgotten.
#[derive(Debug, Default)]
pub struct Memo {
    inputs: Inputs,
    /// What references turned out to be.
    pub(super) found: Found,
    /// Certificates of Secrets.
    pub(super) certificates: Certificates,
    /// By the address of the route, which stays its own as long as it is held here.
    routes: HashMap<usize, (Arc<HttpRoute>, Arc<CompiledRoute>)>,
}

#[derive(Debug, Default)]
struct Inputs {
    services: Objects<Service>,
    pools: Objects<InferencePool>,
    grants: Objects<ReferenceGrant>,
    policies: Objects<BackendTLSPolicy>,
    bundles: Objects<ConfigMap>,
}

impl Memo {
    /// Compiles routes, those that are known only once.
    pub(super) fn compile<'w>(
        &mut self,
        world: &World,
        routes: impl Iterator<Item = &'w Arc<HttpRoute>>,
    ) -> Vec<(&'w Arc<HttpRoute>, Arc<CompiledRoute>)> {
        if !self.inputs.are_those_of(world) || self.found.len() > MAX_FOUND {
            let certificates = std::mem::take(&mut self.certificates);
            *self = Self { inputs: Inputs::of(world), certificates, ..Self::default() };
        }
        let mut known = std::mem::take(&mut self.routes);
        let mut backends = Backends::new(world, &mut self.found);
        let mut out = Vec::new();
        for route in routes {
            let address = Arc::as_ptr(route).addr();
            let (held, compiled) = known.remove(&address).unwrap_or_else(|| {
                let compiled = Arc::new(compile(route, &mut backends));
                (Arc::clone(route), compiled)
            });
            out.push((route, Arc::clone(&compiled)));
            self.routes.insert(address, (held, compiled));
        }
        out
    }
}

impl Inputs {
    fn of(world: &World) -> Self {
        Self {
            services: world.services.clone(),
            pools: world.pools.clone(),
            grants: world.reference_grants.clone(),
            policies: world.backend_tls_policies.clone(),
            bundles: backend_tls::bundles(world),
        }
    }

    /// Maps that share their root are equal; equal maps that do not are looked through, which is still far less than
    /// compiling.
    fn are_those_of(&self, world: &World) -> bool {
        same(&self.services, &world.services)
            && same(&self.pools, &world.pools)
            && same(&self.grants, &world.reference_grants)
            && same(&self.policies, &world.backend_tls_policies)
            && same(&self.bundles, &backend_tls::bundles(world))
    }
}

/// Whether the maps hold the same objects, not merely equal ones.
fn same<T>(one: &Objects<T>, other: &Objects<T>) -> bool {
    one.ptr_eq(other)
        || one.len() == other.len() && one.values().zip(other.values()).all(|(a, b)| Arc::ptr_eq(a, b))
}
