//! Lets the next representation share what did not change with the one before, so that later stages can tell by identity.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Gateway, HttpListener, Listener, ListenerProtocol, Route, VirtualHost};

impl Gateway {
    /// Replaces every part that equals its counterpart in `previous` by that counterpart. The content stays the same.
    pub fn share_with(&mut self, previous: &Self) {
        for (name, cluster) in &mut self.clusters {
            share(cluster, previous.clusters.get(name));
        }
        for (name, certificate) in &mut self.certificates {
            share(certificate, previous.certificates.get(name));
        }
        let held: BTreeMap<u16, &Arc<Listener>> = previous.listeners.iter().map(|l| (l.port, l)).collect();
        for listener in &mut self.listeners {
            if let Some(held) = held.get(&listener.port) {
                share_listener(listener, held);
            }
        }
    }
}

fn share_listener(listener: &mut Arc<Listener>, held: &Arc<Listener>) {
    match (&mut Arc::make_mut(listener).protocol, &held.protocol) {
        (ListenerProtocol::Http(http), ListenerProtocol::Http(held)) => share_hosts(http, held),
        (ListenerProtocol::Https(chains), ListenerProtocol::Https(held)) => {
            let held: BTreeMap<&str, &HttpListener> =
                held.iter().map(|chain| (chain.server_name.as_str(), &chain.http)).collect();
            for chain in chains {
                if let Some(held) = held.get(chain.server_name.as_str()) {
                    share_hosts(&mut chain.http, held);
                }
            }
        }
        (ListenerProtocol::Http(_) | ListenerProtocol::Https(_), _) => {}
    }
    share(listener, Some(held));
}

fn share_hosts(http: &mut HttpListener, held: &HttpListener) {
    let hosts: HashMap<&str, &Arc<VirtualHost>> =
        held.virtual_hosts.iter().map(|host| (host.hostname.as_str(), host)).collect();
    for host in &mut http.virtual_hosts {
        if let Some(held) = hosts.get(host.hostname.as_str()) {
            share_routes(host, held);
        }
    }
}

fn share_routes(host: &mut Arc<VirtualHost>, held: &Arc<VirtualHost>) {
    let routes: HashMap<&str, &Arc<Route>> =
        held.routes.iter().map(|route| (route.name.as_str(), route)).collect();
    for route in &mut Arc::make_mut(host).routes {
        share(route, routes.get(route.name.as_str()).copied());
    }
    share(host, Some(held));
}

/// Takes the held part when it is equal. (Equality of `Arc`s looks at identity first, so shared parts cost nothing.)
fn share<T: Eq>(part: &mut Arc<T>, held: Option<&Arc<T>>) {
    if let Some(held) = held
        && part == held
    {
        *part = Arc::clone(held);
    }
}
