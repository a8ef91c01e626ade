//! Puts matches on ports, chains and hostnames.
//!
//! One virtual host for every hostname that a listener, or a route on it, names. Envoy chooses the most specific one
//! for a request's host and does not look further, which gives listener isolation (GEP-3567) when two rules hold:
//!
//! - every listener's hostname is a virtual host, even without routes: its hosts answer 404 instead of falling back
//!   to a less specific listener;
//! - a route is put on a hostname only by the most specific listener that covers it, the hostname's owner.
//!
//! ```text
//! listeners *.example.com and *;  route foo.example.com attached to "*":  owner is *.example.com ─▶ not put
//! ```
//!
//! Inside TLS each listener has a chain of its own, which the client's server name chooses. A host that another listener
//! of the port owns is refused there with 421, so that a client that reuses a connection opens another one.
//!
//! Among the routes of one listener the same holds: a host that some route names exactly does not fall back to routes
//! with a covering wildcard.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    hostname::Hostname,
    ir::{Action, HeaderChanges, PathCondition, Redirect, Refusal, Route, RouteMatch},
    listener::Listener,
    placed_route::PlacedRoute,
    route::CompiledMatch,
};
use crate::api::{Kind, NamespacedName, ObjectRef};

/// All that is served on one port.
#[derive(Debug, Default)]
struct Port<'a> {
    /// The listener that owns each hostname.
    owners: BTreeMap<&'a Hostname, usize>,
    hosts: BTreeMap<&'a Hostname, Vec<&'a CompiledMatch>>,
}

/// What one chain of a port serves: all of a port in the clear, one listener of it inside TLS.
#[derive(Debug)]
pub(super) struct Chain<'a> {
    /// The listener; the first of those that share the chain.
    pub(super) listener: usize,
    /// Hostnames, in order, with their routes, in order of precedence.
    pub(super) hosts: Vec<(&'a Hostname, Vec<Arc<Route>>)>,
}

/// The ports of a Gateway's served listeners.
pub(super) struct Ports<'a, 'w> {
    listeners: &'a [Listener<'w>],
    ports: BTreeMap<u16, Port<'a>>,
}

impl<'a, 'w> Ports<'a, 'w> {
    /// Ports with a virtual host for each listener.
    pub(super) fn new(listeners: &'a [Listener<'w>]) -> Self {
        let mut ports: BTreeMap<u16, Port<'a>> = BTreeMap::new();
        for (index, listener) in listeners.iter().enumerate().filter(|(_, l)| l.is_served()) {
            let port = ports.entry(listener.spec.port).or_default();
            port.owners.insert(&listener.hostname, index);
            port.hosts.insert(&listener.hostname, Vec::new());
        }
        Self { listeners, ports }
    }

    /// Puts a route's matches on the listeners that it attaches to.
    pub(super) fn put(&mut self, route: &'a PlacedRoute) {
        for (&index, hosts) in &route.listeners {
            let Some(port) = self.ports.get_mut(&self.listeners[index].spec.port) else { continue };
            for host in hosts.iter().filter(|_| self.listeners[index].is_served()) {
                if port.owner(host) == Some(index) {
                    port.hosts.entry(host).or_default().extend(&route.compiled.matches);
                }
            }
        }
    }

    /// The chains of each port.
    pub(super) fn into_chains(self, gateway: &NamespacedName) -> BTreeMap<u16, Vec<Chain<'a>>> {
        let Self { listeners, ports } = self;
        let chains = |(number, port): (u16, Port<'a>)| (number, port.into_chains(number, listeners, gateway));
        ports.into_iter().map(chains).collect()
    }
}

impl<'a> Port<'a> {
    fn owner(&self, host: &Hostname) -> Option<usize> {
        if self.owners.len() == 1 {
            return self.owners.values().next().copied();
        }
        host.coverers().find_map(|coverer| self.owners.get(&coverer).copied())
    }

    fn into_chains(
        mut self,
        number: u16,
        listeners: &[Listener<'_>],
        gateway: &NamespacedName,
    ) -> Vec<Chain<'a>> {
        let Some(&first) = self.owners.values().min() else { return Vec::new() };
        let tls = listeners[first].is_tls();
        let mut chains: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for (host, mut matches) in std::mem::take(&mut self.hosts) {
            let owner = if tls { self.owner(host).unwrap_or(first) } else { first };
            matches.sort_by(|a, b| a.precedence.cmp(&b.precedence));
            let routes = matches.into_iter().map(|m| on_port(m, number, tls)).collect();
            chains.entry(owner).or_default().push((host, routes));
        }
        for (listener, hosts) in &mut chains {
            for (&host, _) in self.owners.iter().filter(|(_, owner)| tls && *owner != listener) {
                hosts.push((host, vec![misdirected(gateway)]));
            }
            hosts.sort_by_key(|(host, _)| *host);
        }
        chains.into_iter().map(|(listener, hosts)| Chain { listener, hosts }).collect()
    }
}

/// Fills in the listener's port where a redirect goes to it; the port that a scheme has anyway is not shown.
fn on_port(m: &CompiledMatch, port: u16, tls: bool) -> Arc<Route> {
    match &m.route.action {
        Action::Redirect(redirect) if redirect.scheme.is_none() => {
            let to = redirect.port.or_else(|| m.redirects_to_listener_port.then_some(port));
            let to = to.filter(|&to| to != if tls { 443 } else { 80 });
            if to == redirect.port {
                return Arc::clone(&m.route);
            }
            let action = Action::Redirect(Redirect { port: to, ..redirect.clone() });
            Arc::new(Route { action, ..Route::clone(&m.route) })
        }
        _ => Arc::clone(&m.route),
    }
}

/// The answer to requests for a host of another listener of the port (RFC 9110, 15.5.20; GEP-3567).
fn misdirected(gateway: &NamespacedName) -> Arc<Route> {
    Arc::new(Route {
        name: format!("gateway/{}/{}/misdirected", gateway.namespace, gateway.name),
        origin: ObjectRef::new(Kind::Gateway, gateway.clone()),
        matches: RouteMatch {
            path: PathCondition::Prefix("/".into()),
            headers: Vec::new(),
            query: Vec::new(),
            method: None,
        },
        action: Action::Refuse(Refusal {
            status: 421,
            reason: "misdirected_request".into(),
            message: "This connection was opened for another host name. Open a new connection for this host."
                .into(),
        }),
        response_headers: HeaderChanges::default(),
    })
}
