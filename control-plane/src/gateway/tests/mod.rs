//! Resolving, from manifests to decisions. `world` reads the manifests, `ask` routes a request as a proxy would.

mod backend_tls;
mod conformance;
mod endpoints;
mod filters;
mod gateways;
mod guide;
mod isolation;
mod memo;
mod models;
mod order;
mod parameters;
mod pools;
mod refs;
mod rules;
mod tls;

use std::sync::Arc;

use serde_json::Value;

use super::{
    Options, Resolved, expression,
    ir::{Action, HttpListener, ListenerProtocol, PathCondition, Route, TextMatch},
    report::Conditions,
    resolve,
};
use crate::{
    api::{Kind, NamespacedName},
    source::{AnyObject, Batch, Change},
    world::World,
};

const CLASS: &str = "
kind: GatewayClass
metadata: {name: c}
spec: {controllerName: test/us}
";

/// A Gateway `gw` with one HTTP listener for any host, and two Services.
const BASE: &str = "
kind: Gateway
metadata: {name: gw, namespace: default, generation: 3}
spec:
  gatewayClassName: c
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
kind: Service
metadata: {name: a, namespace: default}
spec: {ports: [{port: 80}, {name: h2c, port: 81, appProtocol: kubernetes.io/h2c}]}
---
kind: Service
metadata: {name: b, namespace: default}
spec: {ports: [{port: 80}]}
";

/// A World with the class and the objects of the manifests; a missing namespace is `default`.
fn world(manifests: &str) -> World {
    let mut world = World::default();
    for text in [CLASS, manifests].iter().flat_map(|text| text.split("\n---")) {
        add(&mut world, text);
    }
    world
}

fn add(world: &mut World, text: &str) {
    let strict = serde_saphyr::options! { strict_booleans: true };
    let read = serde_saphyr::from_str_with_options(text, strict);
    let value: Value = read.unwrap_or_else(|error| panic!("{error}: {text}"));
    if value.is_null() {
        return;
    }
    let kind: Kind = serde_json::from_value(value["kind"].clone()).unwrap();
    let mut object = AnyObject::deserialize(kind, value).unwrap_or_else(|error| panic!("{error}: {text}"));
    if kind.is_namespaced() && object.meta().namespace.is_empty() {
        object.meta_mut().namespace = "default".into();
    }
    *world = world.apply(&Batch::from_iter([Change::Apply(object)])).0;
}

fn options() -> Options {
    Options { controller_name: "test/us".into(), ..Options::default() }
}

fn key(text: &str) -> NamespacedName {
    let (namespace, name) = text.split_once('/').unwrap_or(("default", text));
    NamespacedName::new(namespace, name)
}

/// Resolves the Gateway `gateway` of the manifests.
fn resolved(manifests: &str, gateway: &str) -> Resolved {
    resolve(&world(manifests), &key(gateway), &options()).expect("a Gateway of ours")
}

/// Resolves `gw` of the base manifests with more of them.
fn on_base(manifests: &str) -> Resolved {
    resolved(&format!("{BASE}---{manifests}"), "gw")
}

/// `True/Accepted` and the like; `-` when there is no such condition.
fn shown(conditions: &Conditions, kind: &str) -> String {
    let found = conditions.iter().find(|condition| condition.kind == kind);
    found.map_or("-".into(), |condition| format!("{:?}/{}", condition.status, condition.reason))
}

fn message<'a>(conditions: &'a Conditions, kind: &str) -> &'a str {
    conditions.iter().find(|condition| condition.kind == kind).map_or("", |condition| &condition.message)
}

impl Resolved {
    /// Conditions of a route with its first parentRef to the Gateway.
    fn route(&self, route: &str) -> &Conditions {
        &self.reports.routes[&key(route)][0].conditions
    }

    fn pool(&self, pool: &str) -> &Conditions {
        &self.reports.pools[&key(pool)].conditions
    }

    fn port(&self, port: u16) -> &HttpListener {
        let listener = self.ir.listeners.iter().find(|listener| listener.port == port).expect("port");
        listener.protocol.http().next().expect("every socket has one")
    }

    fn hosts(&self, port: u16) -> Vec<&str> {
        self.port(port).virtual_hosts.iter().map(|host| host.hostname.as_str()).collect()
    }

    /// The answer to `GET path` on port 80.
    fn get(&self, host: &str, path: &str) -> String {
        self.ask(80, host, "GET", path, &[])
    }

    /// The answer to a request: what the first match of the most specific virtual host does, or 404.
    fn ask(&self, port: u16, host: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        answer(self.port(port), host, method, path, headers)
    }
}

/// What the chain of a server name, the most specific that covers it, answers to `GET path`.
fn ask_tls(resolved: &Resolved, server_name: &str, host: &str, path: &str) -> String {
    let ListenerProtocol::Https(chains) = &resolved.ir.listeners[0].protocol else { panic!("not TLS") };
    let chains = chains.iter().filter(|chain| covers(&chain.server_name, server_name));
    let chain = chains.max_by_key(|chain| specificity(&chain.server_name));
    chain.map_or("reset".into(), |chain| answer(&chain.http, host, "GET", path, &[]))
}

fn covers(name: &str, host: &str) -> bool {
    name.strip_prefix('*').map_or(name == host, |suffix| host.ends_with(suffix))
}

fn specificity(name: &str) -> (bool, usize) {
    (!name.starts_with('*'), name.len())
}

fn answer(http: &HttpListener, host: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let hosts = http.virtual_hosts.iter();
    let host = hosts.filter(|h| covers(&h.hostname, host)).max_by_key(|h| specificity(&h.hostname));
    let routes = host.map(|h| h.routes.as_slice()).unwrap_or_default();
    let found = routes.iter().find(|route| matches(route, method, path, headers));
    found.map_or("404".into(), |route| action(&route.action))
}

fn matches(route: &Route, method: &str, target: &str, headers: &[(&str, &str)]) -> bool {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query: Vec<(&str, &str)> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let text = |wanted: &TextMatch, value: &str| match wanted {
        TextMatch::Exact(exact) => exact == value,
        TextMatch::Regex(pattern) => expression::full_match(pattern).expect("compiles").is_match(value),
    };
    let has = |list: &[(&str, &str)], name: &str, wanted: &TextMatch| {
        list.iter().any(|(n, value)| n.eq_ignore_ascii_case(name) && text(wanted, value))
    };
    let m = &route.matches;
    let path_fits = match &m.path {
        PathCondition::Exact(exact) => exact == path,
        PathCondition::Prefix(prefix) if prefix == "/" => true,
        PathCondition::Prefix(prefix) => {
            path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        PathCondition::Regex(pattern) => expression::full_match(pattern).expect("compiles").is_match(path),
    };
    path_fits
        && m.method.as_deref().is_none_or(|wanted| wanted == method)
        && m.headers.iter().all(|h| has(headers, &h.name, &h.value))
        && m.query.iter().all(|q| has(&query, &q.name, &q.value))
}

/// `service/default/a/80`, or `service/…*9 500:backend_not_found*1`, or `500:no_backends`, or `301 …`.
fn action(action: &Action) -> String {
    match action {
        Action::Refuse(refusal) => format!("{}:{}", refusal.status, refusal.reason),
        Action::Redirect(redirect) => {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            let port = redirect.port.map(|port| format!(":{port}")).unwrap_or_default();
            format!("{} {}://{}{port}", redirect.status, part(&redirect.scheme), part(&redirect.hostname))
        }
        Action::Forward(forward) => {
            let target = |target: &Result<_, super::ir::Refusal>| match target {
                Ok(cluster) => format!("{cluster}"),
                Err(refusal) => format!("{}:{}", refusal.status, refusal.reason),
            };
            match forward.backends.as_slice() {
                [one] => target(&one.target),
                many => {
                    let shares = many.iter().map(|b| format!("{}*{}", target(&b.target), b.weight));
                    shares.collect::<Vec<_>>().join(" ")
                }
            }
        }
    }
}
