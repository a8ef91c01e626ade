//! Work kept from one resolution of a Gateway to the next.
//!
//! What a route compiles to depends on the route and on Services, InferencePools, ReferenceGrants, BackendTLSPolicies
//! and the ConfigMaps that these name; where it attaches depends on the Gateway and on Namespaces besides. While those
//! have the same content, a route that is the same object keeps what it came to; what is made anew and comes out equal is
//! the same object too. So the unchanged parts of two resolutions are equal by pointer, which later stages count on.
//! Pods, EndpointSlices and status do not touch this.
//!
//! ```text
//! same Services, pools, grants, policies? ── no ──▶ compile and attach all routes again
//!              └── yes ──▶ same Gateway, Namespaces? ── no ──▶ attach all routes again
//!                                  └── yes ──▶ same Arc<HttpRoute>? ── yes ──▶ same Arc<PlacedRoute>
//! ```

use std::sync::Arc;

use super::{
    attach::Attacher,
    backend_tls,
    certificate::Certificates,
    kept_hosts::KeptHosts,
    listener::{Listener, Problem},
    placed_route::PlacedRoute,
    route::{Backends, CompiledRoute, Found, compile},
};
use crate::{
    api::{
        BackendTLSPolicy, ConfigMap, Gateway, HttpRoute, InferencePool, Namespace, Object, ReferenceGrant,
        Service,
    },
    kept::Kept,
    world::{Objects, World, same_objects},
};

/// References kept at most: those of routes that are gone are forgotten only together with the rest.
const MAX_FOUND: usize = 100_000;

/// Kept work of one Gateway. An empty one is always right, as is one of another World: what does not
/// apply is forgotten.
#[derive(Debug, Default)]
pub struct Memo {
    inputs: Inputs,
    place: Place,
    /// What references turned out to be.
    pub(super) found: Found,
    /// Certificates of Secrets.
    pub(super) certificates: Certificates,
    /// Virtual hosts.
    pub(super) hosts: KeptHosts,
    /// In key order.
    routes: Vec<Known>,
}

/// A route that is held, so that its address stays its own.
#[derive(Debug)]
struct Known {
    route: Arc<HttpRoute>,
    placed: Arc<PlacedRoute>,
}

/// What compiling depends on.
#[derive(Debug, Default)]
struct Inputs {
    services: Objects<Service>,
    pools: Objects<InferencePool>,
    grants: Objects<ReferenceGrant>,
    policies: Objects<BackendTLSPolicy>,
    bundles: Objects<ConfigMap>,
}

/// What attaching depends on besides.
#[derive(Debug, Default)]
struct Place {
    gateway: Option<Arc<Gateway>>,
    namespaces: Objects<Namespace>,
    /// By listener.
    problems: Vec<Option<Problem>>,
}

impl Memo {
    /// Compiles and attaches routes, which are in key order: those that are known only once.
    pub(super) fn place<'w>(
        &mut self,
        world: &'w World,
        gateway: &'w Arc<Gateway>,
        listeners: &[Listener<'w>],
        routes: impl Iterator<Item = &'w Arc<HttpRoute>>,
    ) -> Vec<Arc<PlacedRoute>> {
        let compiles = !self.inputs.are_those_of(world) || self.found.len() > MAX_FOUND;
        if compiles {
            (self.inputs, self.found) = (Inputs::of(world), Found::default());
        }
        let places = compiles || !self.place.is_that_of(world, gateway, listeners);
        if places {
            self.place = Place::of(world, gateway, listeners);
        }
        let name = gateway.key();
        let mut attacher = Attacher::new(world, &name, listeners);
        let mut backends = Backends::new(world, &mut self.found);
        let mut known = Kept::new(std::mem::take(&mut self.routes));
        for route in routes {
            let last = known.take(|known: &Known| name_of(&known.route).cmp(&name_of(route)));
            let same = last.as_ref().filter(|last| !compiles && Arc::ptr_eq(&last.route, route));
            let compiled = match same {
                Some(_) if !places => {
                    self.routes.extend(last);
                    continue;
                }
                Some(same) => Arc::clone(&same.placed.compiled),
                None => {
                    Arc::new(compile(route, &mut backends).shared_with(last.as_ref().map(Known::compiled)))
                }
            };
            let placed = PlacedRoute::new(route, compiled, &attacher.attach(route));
            let placed = placed.shared_with(last.as_ref().map(|last| &*last.placed));
            self.routes.push(Known { route: Arc::clone(route), placed: Arc::new(placed) });
        }
        self.routes.iter().map(|known| Arc::clone(&known.placed)).collect()
    }
}

impl Known {
    fn compiled(&self) -> &CompiledRoute {
        &self.placed.compiled
    }
}

fn name_of(route: &HttpRoute) -> (&str, &str) {
    (&route.metadata.namespace, &route.metadata.name)
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

    fn are_those_of(&self, world: &World) -> bool {
        same_objects(&self.services, &world.services)
            && same_objects(&self.pools, &world.pools)
            && same_objects(&self.grants, &world.reference_grants)
            && same_objects(&self.policies, &world.backend_tls_policies)
            && same_objects(&self.bundles, &backend_tls::bundles(world))
    }
}

impl Place {
    fn of(world: &World, gateway: &Arc<Gateway>, listeners: &[Listener<'_>]) -> Self {
        Self {
            gateway: Some(Arc::clone(gateway)),
            namespaces: world.namespaces.clone(),
            problems: listeners.iter().map(|listener| listener.problem.clone()).collect(),
        }
    }

    fn is_that_of(&self, world: &World, gateway: &Gateway, listeners: &[Listener<'_>]) -> bool {
        let same = |held: &Arc<Gateway>| held.key() == gateway.key() && held.spec == gateway.spec;
        self.gateway.as_ref().is_some_and(same)
            && same_objects(&self.namespaces, &world.namespaces)
            && self.problems.iter().eq(listeners.iter().map(|listener| &listener.problem))
    }
}
