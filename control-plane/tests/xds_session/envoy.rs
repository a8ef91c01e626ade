//! A model of Envoy's side: what it applies, what it waits for, what it rejects (as measured on 1.40).

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use control_plane::xds::{Asks, Protocol, Request, Resource, ResourceType, Response, Snapshot};

use ResourceType::{Cluster, Endpoint, Listener, Route};

#[derive(Debug, Default)]
struct Kind {
    /// Accepted versions by name.
    held: BTreeMap<Arc<str>, Arc<Resource>>,
    names: BTreeSet<Arc<str>>,
    nonce: String,
}

#[derive(Debug)]
pub(crate) struct Envoy {
    protocol: Protocol,
    kinds: BTreeMap<ResourceType, Kind>,
    /// Clusters that were updated and wait for endpoints.
    warming: BTreeSet<Arc<str>>,
    /// Clusters that serve.
    active: BTreeSet<Arc<str>>,
    /// CDS answers that wait until all clusters are warm.
    withheld: Vec<Request>,
    /// A state-of-the-world server cannot know what an Envoy that reconnects still uses.
    pub(crate) reconnected: bool,
}

const KINDS: [ResourceType; 4] = [Cluster, Endpoint, Listener, Route];

fn is_bad(resource: &Resource) -> bool {
    resource.any.starts_with(b"bad")
}

/// The cluster of a route.
fn target(route: &Resource) -> &str {
    std::str::from_utf8(&route.any).unwrap().split_once(' ').unwrap().1
}

impl Envoy {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            kinds: KINDS.into_iter().map(|kind| (kind, Kind::default())).collect(),
            warming: BTreeSet::new(),
            active: BTreeSet::new(),
            withheld: Vec::new(),
            reconnected: false,
        }
    }

    fn kind(&mut self, kind: ResourceType) -> &mut Kind {
        self.kinds.get_mut(&kind).unwrap()
    }

    /// The first requests of a stream.
    pub(crate) fn connect(&mut self) -> Vec<Request> {
        self.withheld.clear();
        self.reconnected = self.protocol == Protocol::Sotw;
        let delta = self.protocol == Protocol::Delta;
        let mut requests = Vec::new();
        for kind in KINDS {
            let state = self.kind(kind);
            state.nonce = String::new();
            if matches!(kind, Endpoint | Route) && state.names.is_empty() {
                continue;
            }
            let names: Vec<_> = state.names.iter().map(ToString::to_string).collect();
            let initial = state.held.values().map(|r| (r.name.to_string(), r.version.to_string())).collect();
            let asks = if delta {
                Asks::Delta { subscribe: names, unsubscribe: Vec::new(), initial }
            } else {
                Asks::Sotw { names }
            };
            requests.push(Request { kind, nonce: String::new(), error: None, asks });
        }
        requests
    }

    pub(crate) fn receive(&mut self, response: &Response) -> Vec<Request> {
        let mut requests = Vec::new();
        let mut rejected = Vec::new();
        for resource in &response.resources {
            if is_bad(resource) {
                rejected.push(&*resource.name);
            } else {
                self.apply(response.kind, resource);
            }
        }
        self.remove(response);
        if response.kind == Cluster {
            self.follow(Endpoint, self.kinds[&Cluster].held.keys().cloned().collect(), &mut requests);
        }
        if response.kind == Listener {
            let routes = self.kinds[&Listener].held.values();
            let routes = routes.map(|l| std::str::from_utf8(&l.any).unwrap().into()).collect();
            self.follow(Route, routes, &mut requests);
        }
        let answer = self.answer(response, &rejected);
        if response.kind == Cluster {
            self.withheld.push(answer);
        } else {
            requests.push(answer);
        }
        self.release(&mut requests);
        self.check();
        requests
    }

    fn apply(&mut self, kind: ResourceType, resource: &Arc<Resource>) {
        let before = self.kind(kind).held.insert(resource.name.clone(), resource.clone());
        match kind {
            Cluster if before.as_ref().is_none_or(|b| b.version != resource.version) => {
                self.warming.insert(resource.name.clone());
            }
            Endpoint => self.warm(&resource.name),
            _ => {}
        }
    }

    fn warm(&mut self, name: &Arc<str>) {
        if self.warming.remove(name) {
            self.active.insert(name.clone());
        }
    }

    fn remove(&mut self, response: &Response) {
        let kind = response.kind;
        let mut gone: Vec<_> = response.removed.clone();
        if self.protocol == Protocol::Sotw && matches!(kind, Cluster | Listener) {
            let sent: BTreeSet<_> = response.resources.iter().map(|r| r.name.clone()).collect();
            gone.extend(self.kinds[&kind].held.keys().filter(|name| !sent.contains(*name)).cloned());
        }
        for name in gone {
            match kind {
                Cluster => {
                    self.warming.remove(&name);
                    self.active.remove(&name);
                }
                Endpoint => self.warm(&name),
                _ => {}
            }
            self.kind(kind).held.remove(&name);
        }
    }

    /// Asks for what the clusters or listeners refer to, and no longer for what they do not.
    fn follow(&mut self, kind: ResourceType, names: BTreeSet<Arc<str>>, requests: &mut Vec<Request>) {
        let delta = self.protocol == Protocol::Delta;
        let state = self.kind(kind);
        let before = mem::replace(&mut state.names, names);
        if before == state.names {
            return;
        }
        state.held.retain(|name, _| state.names.contains(name));
        let strings = |names: Vec<&Arc<str>>| names.into_iter().map(ToString::to_string).collect::<Vec<_>>();
        let (nonce, asks) = if delta {
            let subscribe = strings(state.names.difference(&before).collect());
            let unsubscribe = strings(before.difference(&state.names).collect());
            (String::new(), Asks::Delta { subscribe, unsubscribe, initial: Vec::new() })
        } else {
            let names = strings(state.names.iter().collect());
            (state.nonce.clone(), Asks::Sotw { names })
        };
        requests.push(Request { kind, nonce, error: None, asks });
    }

    fn answer(&mut self, response: &Response, rejected: &[&str]) -> Request {
        let delta = self.protocol == Protocol::Delta;
        let state = self.kind(response.kind);
        state.nonce = response.nonce.to_string();
        let error = match (rejected, response.kind) {
            ([], _) => None,
            (names, Cluster) => {
                let reasons: Vec<_> = names.iter().map(|name| format!("{name}: why")).collect();
                Some(format!("Error adding/updating cluster(s) {}", reasons.join(", ")))
            }
            _ => Some("missing ]: [invalid".to_owned()),
        };
        let asks = if delta {
            Asks::Delta { subscribe: Vec::new(), unsubscribe: Vec::new(), initial: Vec::new() }
        } else {
            let names = state.names.iter().map(ToString::to_string).collect();
            Asks::Sotw { names }
        };
        Request { kind: response.kind, nonce: state.nonce.clone(), error, asks }
    }

    fn release(&mut self, requests: &mut Vec<Request>) {
        if self.warming.is_empty() {
            requests.append(&mut self.withheld);
        }
    }

    /// Envoy gives up waiting for endpoints after a while.
    pub(crate) fn stop_waiting(&mut self) -> Vec<Request> {
        self.active.extend(mem::take(&mut self.warming));
        let mut requests = Vec::new();
        self.release(&mut requests);
        requests
    }

    fn check(&self) {
        if self.reconnected {
            return;
        }
        for route in self.kinds[&Route].held.values() {
            assert!(self.active.contains(target(route)), "{} has no warm cluster: {:?}", route.name, self);
        }
    }

    pub(crate) fn assert_holds(&self, snapshot: &Snapshot) {
        for kind in KINDS {
            let held: Vec<_> = self.kinds[&kind].held.values().map(|r| (&r.name, r.version)).collect();
            let expected: Vec<_> = snapshot.of(kind).map(|r| (&r.name, r.version)).collect();
            assert_eq!(held, expected, "{kind:?}");
        }
    }
}
