//! Decides which listeners a route attaches to.
//!
//! ```text
//! parentRef ─▶ sectionName and port ─▶ allowedRoutes: kind, namespace ─▶ hostnames intersect ─▶ served?
//!          NoMatchingParent       NotAllowedByListeners        NoMatchingListenerHostname
//! ```
//!
//! The first step that leaves no listener gives the reason. Attachment follows allowedRoutes and hostnames alone, so a
//! refused listener counts its routes as well; but a route is accepted only where a listener is served.

use std::collections::{BTreeMap, BTreeSet};

use super::{hostname::Hostname, listener::Listener};
use crate::{
    api::{FromNamespaces, HttpRoute, NamespacedName, ParentRef, group},
    world::World,
};

/// One parentRef of a route.
#[derive(Debug)]
pub(super) struct Attachment<'w> {
    /// The parentRef.
    pub(super) parent: &'w ParentRef,
    /// Listeners by index, with the hosts on which they and the route agree.
    pub(super) listeners: BTreeMap<usize, BTreeSet<Hostname>>,
    /// Why the route is not accepted by the parent: reason and message.
    pub(super) refusal: Option<(&'static str, String)>,
}

/// Whether the parentRef of a route in `namespace` names the Gateway.
fn names(parent: &ParentRef, namespace: &str, gateway: &NamespacedName) -> bool {
    parent.group == group::GATEWAY
        && parent.kind == "Gateway"
        && parent.name == gateway.name
        && parent.namespace.as_deref().unwrap_or(namespace) == gateway.namespace
}

/// Attaches routes to the listeners of one Gateway.
pub(super) struct Attacher<'a, 'w> {
    world: &'w World,
    gateway: &'a NamespacedName,
    listeners: &'a [Listener<'w>],
    /// Whether a namespace may attach, by listener: selectors are evaluated once.
    allowed: BTreeMap<String, Vec<bool>>,
}

impl<'a, 'w> Attacher<'a, 'w> {
    /// An attacher for the listeners.
    pub(super) fn new(world: &'w World, gateway: &'a NamespacedName, listeners: &'a [Listener<'w>]) -> Self {
        Self { world, gateway, listeners, allowed: BTreeMap::new() }
    }

    /// One entry per parentRef that names the Gateway, in the route's order.
    pub(super) fn attach(&mut self, route: &'w HttpRoute) -> Vec<Attachment<'w>> {
        let namespace = &route.metadata.namespace;
        if !self.allowed.contains_key(namespace) {
            let allowed = self.allowed_in(namespace);
            self.allowed.insert(namespace.clone(), allowed);
        }
        let hostnames = Hostnames::of(route);
        let parents = route.spec.parent_refs.iter().enumerate();
        let ours = parents.filter(|(_, parent)| names(parent, namespace, self.gateway));
        ours.map(|(index, parent)| self.attach_one(index, parent, namespace, &hostnames)).collect()
    }

    fn attach_one(
        &self,
        index: usize,
        parent: &'w ParentRef,
        namespace: &str,
        hostnames: &Hostnames,
    ) -> Attachment<'w> {
        let field = format!("spec.parentRefs[{index}]");
        let mut attachment = Attachment { parent, listeners: BTreeMap::new(), refusal: None };
        let selected: Vec<usize> = (0..self.listeners.len())
            .filter(|&l| parent.section_name.as_ref().is_none_or(|name| *name == self.listeners[l].spec.name))
            .filter(|&l| parent.port.is_none_or(|port| port == self.listeners[l].spec.port))
            .collect();
        if selected.is_empty() {
            attachment.refusal = Some(("NoMatchingParent", self.no_such_listener(&field, parent)));
            return attachment;
        }
        let allowed = &self.allowed[namespace];
        let (allowed, refusing): (Vec<usize>, Vec<usize>) =
            selected.into_iter().partition(|&l| allowed[l] && self.listeners[l].allows_kind("HTTPRoute"));
        if allowed.is_empty() {
            attachment.refusal =
                Some(("NotAllowedByListeners", self.not_allowed(&field, namespace, &refusing)));
            return attachment;
        }
        for &l in &allowed {
            let hosts = hostnames.on(&self.listeners[l].hostname);
            if !hosts.is_empty() {
                attachment.listeners.insert(l, hosts);
            }
        }
        if attachment.listeners.is_empty() {
            attachment.refusal = Some(("NoMatchingListenerHostname", self.no_host(hostnames, &allowed)));
        } else if !attachment.listeners.keys().any(|&l| self.listeners[l].is_accepted()) {
            let message = format!(
                "{field}: no listener that the route attaches to is served; see the Gateway's listeners"
            );
            attachment.refusal = Some(("NotAllowedByListeners", message));
        }
        attachment
    }

    fn allowed_in(&self, namespace: &str) -> Vec<bool> {
        let labels = namespace_labels(self.world, namespace);
        let allows = |listener: &Listener<'_>| {
            let rule = &listener.spec.allowed_routes.namespaces;
            match &rule.from {
                FromNamespaces::All => true,
                FromNamespaces::Same => namespace == self.gateway.namespace,
                FromNamespaces::Selector => {
                    rule.selector.as_ref().and_then(|s| s.matches(&labels)).unwrap_or(false)
                }
                FromNamespaces::None | FromNamespaces::Unknown(_) => false,
            }
        };
        self.listeners.iter().map(allows).collect()
    }

    fn no_such_listener(&self, field: &str, parent: &ParentRef) -> String {
        let mut wanted = Vec::new();
        wanted.extend(parent.section_name.as_ref().map(|name| format!("sectionName {name}")));
        wanted.extend(parent.port.map(|port| format!("port {port}")));
        let has = self.listeners.iter().map(|l| format!("{}:{}", l.spec.name, l.spec.port));
        format!(
            "{field}: Gateway {} has no listener with {}; it has {}",
            self.gateway,
            wanted.join(" and "),
            has.collect::<Vec<_>>().join(", ")
        )
    }

    fn not_allowed(&self, field: &str, namespace: &str, refusing: &[usize]) -> String {
        let allowed = &self.allowed[namespace];
        let why = refusing.iter().map(|&l| {
            let listener = &self.listeners[l];
            let name = &listener.spec.name;
            match &listener.problem {
                Some(problem) if problem.reason == "UnsupportedProtocol" => {
                    format!("listener {name} is not served: {}", problem.message)
                }
                _ if !allowed[l] => format!(
                    "listener {name} allows no routes from namespace {namespace}; extend its allowedRoutes.namespaces"
                ),
                _ => format!("listener {name} allows no HTTPRoute; extend its allowedRoutes.kinds"),
            }
        });
        format!("{field}: {}", super::condition::sentences(why))
    }

    fn no_host(&self, hostnames: &Hostnames, allowed: &[usize]) -> String {
        let hosts = allowed
            .iter()
            .map(|&l| format!("{} ({})", self.listeners[l].hostname, self.listeners[l].spec.name));
        let hosts = hosts.collect::<Vec<_>>().join(", ");
        match hostnames.invalid.is_empty() {
            true => {
                format!("spec.hostnames: none is among the listeners' hostnames {hosts}; add one that is")
            }
            false => format!(
                "spec.hostnames: {} cannot be used and no other is among the listeners' hostnames {hosts}; correct them",
                hostnames.invalid.join(", ")
            ),
        }
    }
}

/// A namespace's labels, with the one that every API server adds: files may lack the Namespace altogether.
fn namespace_labels(world: &World, namespace: &str) -> BTreeMap<String, String> {
    let found = world.namespaces.get(&NamespacedName::new("", namespace));
    let mut labels = found.map(|n| n.metadata.labels.clone()).unwrap_or_default();
    labels.entry("kubernetes.io/metadata.name".into()).or_insert_with(|| namespace.to_owned());
    labels
}

/// A route's hostnames.
struct Hostnames {
    /// Those that can be used; `Any` alone when the route names none.
    valid: Vec<Hostname>,
    /// Those that cannot.
    invalid: Vec<String>,
}

impl Hostnames {
    fn of(route: &HttpRoute) -> Self {
        if route.spec.hostnames.is_empty() {
            return Self { valid: vec![Hostname::Any], invalid: Vec::new() };
        }
        let mut hostnames = Self { valid: Vec::new(), invalid: Vec::new() };
        for text in &route.spec.hostnames {
            match Hostname::parse(text) {
                Ok(hostname) => hostnames.valid.push(hostname),
                Err(why) => hostnames.invalid.push(format!("{text:?} ({why})")),
            }
        }
        hostnames
    }

    fn on(&self, listener: &Hostname) -> BTreeSet<Hostname> {
        self.valid.iter().filter_map(|host| host.intersection(listener)).cloned().collect()
    }
}
