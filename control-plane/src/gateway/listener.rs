//! Decides which listeners of a Gateway are served, and with which hostnames and kinds of routes.
//!
//! ```text
//! spec.listeners ─▶ each alone: protocol, hostname, allowed kinds, certificates ─▶ together: conflicts on a port ─▶ Listeners
//! ```
//!
//! Listeners that conflict are all refused: within one Gateway the API lets nobody pick a winner.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Options,
    certificate::{self, Certificates, Chosen},
    hostname::Hostname,
};
use crate::{
    api::{self, FromNamespaces, ListenerProtocol, RouteGroupKind, group},
    world::World,
};

/// One listener, looked at.
#[derive(Debug)]
pub(super) struct Listener<'w> {
    /// As the Gateway has it.
    pub(super) spec: &'w api::Listener,
    /// The hosts it serves.
    pub(super) hostname: Hostname,
    /// Kinds of routes that may attach.
    pub(super) kinds: Vec<RouteGroupKind>,
    /// `allowedRoutes.kinds` that cannot be served here, for the message.
    pub(super) refused_kinds: Vec<String>,
    /// Certificates, and references to such that do not resolve; of HTTPS listeners.
    pub(super) certificates: Chosen,
    /// Why the listener is not accepted.
    pub(super) problem: Option<Problem>,
}

/// Why a listener is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// Reason of the condition `Accepted`.
    pub(super) reason: &'static str,
    /// Field and remedy.
    pub(super) message: String,
    /// Whether it conflicts with another listener of its port.
    pub(super) conflict: bool,
}

impl Listener<'_> {
    /// Whether it is as it should be, its certificates aside: they may come later.
    pub(super) fn is_accepted(&self) -> bool {
        self.problem.is_none()
    }

    /// Whether proxies open it.
    pub(super) fn is_served(&self) -> bool {
        self.is_accepted() && (!self.is_tls() || !self.certificates.certificates.is_empty())
    }

    /// Whether TLS ends at it.
    pub(super) fn is_tls(&self) -> bool {
        self.spec.protocol == ListenerProtocol::Https
    }

    /// Whether routes of the kind may attach.
    pub(super) fn allows_kind(&self, kind: &str) -> bool {
        self.kinds.iter().any(|k| k.group == group::GATEWAY && k.kind == kind)
    }

    fn refuse(&mut self, reason: &'static str, message: String, conflict: bool) {
        self.problem.get_or_insert(Problem { reason, message, conflict });
    }
}

/// Looks at all listeners of a Gateway, in its order, and for their certificates.
pub(super) fn listeners<'w>(
    world: &World,
    gateway: &'w api::Gateway,
    options: &Options,
    certificates: &mut Certificates,
) -> Vec<Listener<'w>> {
    let mut listeners = without_certificates(gateway, options);
    for (index, listener) in listeners.iter_mut().enumerate().filter(|(_, listener)| listener.is_tls()) {
        let (field, tls) = (field(index, listener.spec), listener.spec.tls.as_ref());
        listener.certificates = certificates.choose(world, &gateway.metadata.namespace, &field, tls);
    }
    certificates.sweep(world);
    listeners
}

/// Looks at all listeners of a Gateway, in its order; certificates may come later.
pub(super) fn without_certificates<'w>(gateway: &'w api::Gateway, options: &Options) -> Vec<Listener<'w>> {
    let specs = gateway.spec.listeners.iter().enumerate();
    let mut listeners: Vec<Listener<'w>> = specs.map(|(index, spec)| alone(index, spec)).collect();
    refuse_protocol_conflicts(&mut listeners);
    refuse_hostname_conflicts(&mut listeners);
    refuse_taken_ports(&mut listeners, options);
    listeners
}

/// What can be said about a listener without its neighbours.
fn alone(index: usize, spec: &api::Listener) -> Listener<'_> {
    let hostname =
        spec.hostname.as_deref().filter(|h| !h.is_empty()).map_or(Ok(Hostname::Any), Hostname::parse);
    let (kinds, refused_kinds) = kinds(spec);
    let mut listener = Listener {
        spec,
        hostname: hostname.clone().unwrap_or(Hostname::Any),
        kinds,
        refused_kinds,
        certificates: Chosen::default(),
        problem: None,
    };
    let field = field(index, spec);
    if !matches!(spec.protocol, ListenerProtocol::Http | ListenerProtocol::Https) {
        let message = format!(
            "{field}.protocol: {} listeners are not served by this version; use protocol HTTP or HTTPS",
            word(&spec.protocol)
        );
        listener.refuse("UnsupportedProtocol", message, false);
    }
    if let Some(why) = certificate::unusable(spec.tls.as_ref()).filter(|_| listener.is_tls()) {
        listener.refuse("UnsupportedValue", format!("{field}{why}"), false);
    }
    if let Err(why) = hostname {
        let written = spec.hostname.as_deref().unwrap_or_default();
        let message = format!("{field}.hostname: {written:?} is no hostname ({why}); correct it");
        listener.refuse("UnsupportedValue", message, false);
    }
    if let Some(why) = unusable_namespaces(spec) {
        listener.refuse("UnsupportedValue", format!("{field}.allowedRoutes.namespaces{why}"), false);
    }
    listener
}

/// How messages name a listener.
fn field(index: usize, spec: &api::Listener) -> String {
    format!("spec.listeners[{index}] ({})", spec.name)
}

/// The kinds that may attach, and those that were asked for and cannot.
fn kinds(spec: &api::Listener) -> (Vec<RouteGroupKind>, Vec<String>) {
    let served = match spec.protocol {
        ListenerProtocol::Http | ListenerProtocol::Https => {
            vec![RouteGroupKind { group: group::GATEWAY.into(), kind: "HTTPRoute".into() }]
        }
        _ => Vec::new(),
    };
    if spec.allowed_routes.kinds.is_empty() {
        return (served, Vec::new());
    }
    let asked: BTreeSet<&RouteGroupKind> = spec.allowed_routes.kinds.iter().collect();
    let (good, bad): (Vec<_>, Vec<_>) = asked.into_iter().partition(|kind| served.contains(kind));
    let name = |kind: &RouteGroupKind| format!("{}/{}", kind.group, kind.kind);
    (good.into_iter().cloned().collect(), bad.into_iter().map(name).collect())
}

fn unusable_namespaces(spec: &api::Listener) -> Option<String> {
    let namespaces = &spec.allowed_routes.namespaces;
    match (&namespaces.from, &namespaces.selector) {
        (FromNamespaces::Unknown(word), _) => {
            Some(format!(".from: {word:?} is not known; use All, Same, Selector or None"))
        }
        (FromNamespaces::Selector, None) => {
            Some(".selector: is absent, so no namespace is selected; add it, or use from: Same or All".into())
        }
        (FromNamespaces::Selector, Some(selector)) if selector.matches(&BTreeMap::new()).is_none() => Some(
            ".selector.matchExpressions: an operator is not known; use In, NotIn, Exists or DoesNotExist"
                .into(),
        ),
        _ => None,
    }
}

/// The protocols that one socket can serve together, by what tells connections apart on it. A protocol that is not
/// known has no socket, so it conflicts with nothing.
fn family(protocol: &ListenerProtocol) -> Option<&'static str> {
    match protocol {
        ListenerProtocol::Http => Some("HTTP"),
        ListenerProtocol::Https | ListenerProtocol::Tls => Some("TLS"),
        ListenerProtocol::Tcp => Some("TCP"),
        ListenerProtocol::Udp | ListenerProtocol::Unknown(_) => None,
    }
}

fn refuse_protocol_conflicts(listeners: &mut [Listener<'_>]) {
    let mut families: BTreeMap<u16, BTreeSet<&'static str>> = BTreeMap::new();
    for listener in &*listeners {
        families.entry(listener.spec.port).or_default().extend(family(&listener.spec.protocol));
    }
    for (index, listener) in listeners.iter_mut().enumerate() {
        let port = listener.spec.port;
        if family(&listener.spec.protocol).is_some() && families[&port].len() > 1 {
            let words = families[&port].iter().copied().collect::<Vec<_>>().join(" and ");
            listener.problem = None;
            let message = format!(
                "spec.listeners[{index}] ({}).port: {words} cannot share port {port}; give each protocol its own port",
                listener.spec.name
            );
            listener.refuse("ProtocolConflict", message, true);
        }
    }
}

fn refuse_hostname_conflicts(listeners: &mut [Listener<'_>]) {
    let mut names: BTreeMap<(u16, ListenerProtocol, Hostname), Vec<&str>> = BTreeMap::new();
    let place = |l: &Listener<'_>| (l.spec.port, l.spec.protocol.clone(), l.hostname.clone());
    for listener in listeners.iter().filter(|l| l.is_accepted()) {
        names.entry(place(listener)).or_default().push(&listener.spec.name);
    }
    for (index, listener) in listeners.iter_mut().enumerate().filter(|(_, l)| l.is_accepted()) {
        let same = &names[&place(listener)];
        if same.len() > 1 {
            let message = format!(
                "spec.listeners[{index}] ({}).hostname: listeners {} have the same port {} and hostname {}; change the \
                 hostname or the port of all but one",
                listener.spec.name,
                same.join(", "),
                listener.spec.port,
                listener.hostname,
            );
            listener.refuse("HostnameConflict", message, true);
        }
    }
}

/// Two ports of a Gateway can be mapped to one bound port; the lower keeps it.
fn refuse_taken_ports(listeners: &mut [Listener<'_>], options: &Options) {
    let mut owners: BTreeMap<u16, u16> = BTreeMap::new();
    let ports: BTreeSet<u16> = listeners.iter().filter(|l| l.is_accepted()).map(|l| l.spec.port).collect();
    for port in ports {
        owners.entry(options.bind.bind_port(port)).or_insert(port);
    }
    for (index, listener) in listeners.iter_mut().enumerate().filter(|(_, l)| l.is_accepted()) {
        let port = listener.spec.port;
        let bound = options.bind.bind_port(port);
        let owner = owners[&bound];
        if owner != port {
            let message = format!(
                "spec.listeners[{index}] ({}).port: {port} is bound as {bound}, which port {owner} has; use another port",
                listener.spec.name
            );
            listener.refuse("PortUnavailable", message, false);
        }
    }
}

/// The protocol as written.
pub(super) fn word(protocol: &ListenerProtocol) -> &str {
    match protocol {
        ListenerProtocol::Http => "HTTP",
        ListenerProtocol::Https => "HTTPS",
        ListenerProtocol::Tls => "TLS",
        ListenerProtocol::Tcp => "TCP",
        ListenerProtocol::Udp => "UDP",
        ListenerProtocol::Unknown(word) => word,
    }
}
