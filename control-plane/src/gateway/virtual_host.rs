//! Puts matches on ports and hostnames.
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
//! Among the routes of one listener the same holds: a host that some route names exactly does not fall back to routes
//! with a covering wildcard.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    hostname::Hostname,
    ir::{Action, Redirect, Route},
    listener::Listener,
    route::CompiledMatch,
};

/// All that is served on one port.
#[derive(Debug, Default)]
pub(super) struct Port {
    /// The listener that owns each hostname.
    owners: BTreeMap<Hostname, usize>,
    hosts: BTreeMap<Hostname, Vec<CompiledMatch>>,
}

/// The ports of a Gateway's served listeners.
pub(super) struct Ports<'a, 'w> {
    listeners: &'a [Listener<'w>],
    ports: BTreeMap<u16, Port>,
}

impl<'a, 'w> Ports<'a, 'w> {
    /// Ports with a virtual host for each listener.
    pub(super) fn new(listeners: &'a [Listener<'w>]) -> Self {
        let mut ports: BTreeMap<u16, Port> = BTreeMap::new();
        for (index, listener) in listeners.iter().enumerate().filter(|(_, l)| l.is_served()) {
            let port = ports.entry(listener.spec.port).or_default();
            port.owners.insert(listener.hostname.clone(), index);
            port.hosts.insert(listener.hostname.clone(), Vec::new());
        }
        Self { listeners, ports }
    }

    /// Puts a route's matches on the listeners that it attaches to.
    pub(super) fn put(&mut self, matches: &[CompiledMatch], attached: &BTreeMap<usize, BTreeSet<Hostname>>) {
        for (&index, hosts) in attached {
            let Some(port) = self.ports.get_mut(&self.listeners[index].spec.port) else { continue };
            for host in hosts.iter().filter(|_| self.listeners[index].is_served()) {
                if port.owner(host) == Some(index) {
                    port.hosts.entry(host.clone()).or_default().extend_from_slice(matches);
                }
            }
        }
    }

    /// Ports with hostnames with routes in order of precedence.
    pub(super) fn into_sorted(self) -> BTreeMap<u16, BTreeMap<String, Vec<Arc<Route>>>> {
        let sorted = |port: u16, mut matches: Vec<CompiledMatch>| {
            matches.sort_by(|a, b| a.precedence.cmp(&b.precedence));
            matches.into_iter().map(|m| on_port(m, port)).collect()
        };
        let ports = self.ports.into_iter();
        ports
            .map(|(port, hosts)| {
                let hosts = hosts.hosts.into_iter();
                (port, hosts.map(|(host, matches)| (host.to_string(), sorted(port, matches))).collect())
            })
            .collect()
    }
}

impl Port {
    fn owner(&self, host: &Hostname) -> Option<usize> {
        if self.owners.len() == 1 {
            return self.owners.values().next().copied();
        }
        host.coverers().find_map(|coverer| self.owners.get(&coverer).copied())
    }
}

/// Fills in the listener's port where a redirect goes to it.
fn on_port(m: CompiledMatch, port: u16) -> Arc<Route> {
    match &m.route.action {
        Action::Redirect(redirect) if m.redirects_to_listener_port && port != 80 => {
            let action = Action::Redirect(Redirect { port: Some(port), ..redirect.clone() });
            Arc::new(Route { action, ..Route::clone(&m.route) })
        }
        _ => m.route,
    }
}
