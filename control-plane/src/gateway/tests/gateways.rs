//! Classes, Gateways and listeners.

use std::collections::BTreeMap;

use super::*;
use crate::gateway::{PortMap, class_reports, is_ours};

fn gateway(spec: &str) -> Resolved {
    resolved(&format!("kind: Gateway\nmetadata: {{name: gw}}\nspec: {{gatewayClassName: c, {spec}}}"), "gw")
}

/// Each listener as `name kinds Accepted Conflicted ResolvedRefs`.
fn listeners(resolved: &Resolved) -> Vec<String> {
    let show = |l: &crate::gateway::report::ListenerReport| {
        let kinds: Vec<&str> = l.supported_kinds.iter().map(|k| &*k.kind).collect();
        let conditions = ["Accepted", "Conflicted", "ResolvedRefs"].map(|kind| shown(&l.conditions, kind));
        format!("{} {kinds:?} {}", l.name, conditions.join(" ")).replace('"', "")
    };
    resolved.reports.gateway.listeners.iter().map(show).collect()
}

#[test]
fn listeners_alone_and_together() {
    const FINE: &str = "[HTTPRoute] True/Accepted False/NoConflicts True/ResolvedRefs";
    let refused = |reason: &str| format!("[] False/{reason} False/NoConflicts True/ResolvedRefs");
    let conflict = |reason: &str| format!("[HTTPRoute] False/{reason} True/{reason} True/ResolvedRefs");
    for (spec, accepted, expected) in [
        ("{name: a, port: 80, protocol: HTTP}", "True/Accepted", vec![format!("a {FINE}")]),
        (
            "{name: a, port: 80, protocol: HTTP}, {name: b, port: 1111, protocol: INVALID}",
            "True/ListenersNotValid",
            vec![format!("a {FINE}"), format!("b {}", refused("UnsupportedProtocol"))],
        ),
        (
            "{name: b, port: 443, protocol: TLS}, {name: c, port: 53, protocol: UDP}",
            "False/ListenersNotValid",
            vec![
                format!("b {}", refused("UnsupportedProtocol")),
                format!("c {}", refused("UnsupportedProtocol")),
            ],
        ),
        (
            "{name: a, port: 80, protocol: HTTP, hostname: x.com}, {name: b, port: 80, protocol: HTTP, hostname: X.com}, \
             {name: c, port: 80, protocol: HTTP}",
            "True/ListenersNotValid",
            vec![
                format!("a {}", conflict("HostnameConflict")),
                format!("b {}", conflict("HostnameConflict")),
                format!("c {FINE}"),
            ],
        ),
        (
            "{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: TCP}, {name: c, port: 80, protocol: UDP}",
            "False/ListenersNotValid",
            vec![
                format!("a {}", conflict("ProtocolConflict")),
                "b [] False/ProtocolConflict True/ProtocolConflict True/ResolvedRefs".into(),
                format!("c {}", refused("UnsupportedProtocol")),
            ],
        ),
        (
            "{name: a, port: 80, protocol: HTTP, hostname: 1.2.3.4}",
            "False/ListenersNotValid",
            vec!["a [HTTPRoute] False/UnsupportedValue False/NoConflicts True/ResolvedRefs".into()],
        ),
        (
            "{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: InvalidRoute}]}}",
            "True/Accepted",
            vec!["a [] True/Accepted False/NoConflicts False/InvalidRouteKinds".into()],
        ),
        (
            "{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: InvalidRoute}, {kind: HTTPRoute}]}}",
            "True/Accepted",
            vec!["a [HTTPRoute] True/Accepted False/NoConflicts False/InvalidRouteKinds".into()],
        ),
        (
            "{name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector}}}",
            "False/ListenersNotValid",
            vec!["a [HTTPRoute] False/UnsupportedValue False/NoConflicts True/ResolvedRefs".into()],
        ),
    ] {
        let resolved = gateway(&format!("listeners: [{spec}]"));
        assert_eq!(shown(&resolved.reports.gateway.conditions, "Accepted"), accepted, "{spec}");
        assert_eq!(listeners(&resolved), expected, "{spec}");
    }
}

#[test]
fn what_refuses_the_whole_gateway() {
    let http = "listeners: [{name: a, port: 80, protocol: HTTP}]";
    for (spec, accepted) in [
        ("infrastructure: {parametersRef: {group: g, kind: K, name: n}}", "False/InvalidParameters"),
        ("addresses: [{type: Hostname, value: a.com}]", "False/UnsupportedAddress"),
        ("addresses: [{type: test/fake, value: x}]", "False/UnsupportedAddress"),
        ("addresses: [{value: not-an-ip}]", "False/UnsupportedAddress"),
        ("addresses: [{value: 10.0.0.1}, {type: IPAddress}]", "True/Accepted"),
    ] {
        let resolved = gateway(&format!("{http}, {spec}"));
        assert_eq!(shown(&resolved.reports.gateway.conditions, "Accepted"), accepted, "{spec}");
        assert_eq!(resolved.ir.listeners.is_empty(), accepted.starts_with("False"), "{spec}");
    }
    let none = gateway("listeners: []");
    assert_eq!(shown(&none.reports.gateway.conditions, "Accepted"), "False/ListenersNotValid");
}

#[test]
fn messages_name_field_and_remedy() {
    let resolved = gateway("listeners: [{name: s, port: 443, protocol: TLS}]");
    let expected = "spec.listeners[0] (s).protocol: TLS listeners are not served by this version; use protocol HTTP or HTTPS";
    assert_eq!(message(&resolved.reports.gateway.conditions, "Accepted"), expected);
    assert_eq!(message(&resolved.reports.gateway.listeners[0].conditions, "Accepted"), expected);
}

#[test]
fn classes() {
    let world = world(
        "
kind: GatewayClass
metadata: {name: with-parameters}
spec: {controllerName: test/us, parametersRef: {group: g, kind: K, name: n}}
---
kind: GatewayClass
metadata: {name: foreign}
spec: {controllerName: test/them}
---
kind: Gateway
metadata: {name: ours}
spec: {gatewayClassName: with-parameters}
---
kind: Gateway
metadata: {name: theirs}
spec: {gatewayClassName: foreign}
---
kind: Gateway
metadata: {name: nobodys}
spec: {gatewayClassName: absent}",
    );
    let reports = class_reports(&world, &options());
    let found: Vec<_> =
        reports.iter().map(|(name, c)| (name.as_str(), shown(&c.conditions, "Accepted"))).collect();
    assert_eq!(
        found,
        [("c", "True/Accepted".into()), ("with-parameters", "False/InvalidParameters".to_owned())]
    );
    let ours = ["ours", "theirs", "nobodys", "missing"].map(|name| is_ours(&world, &key(name), &options()));
    assert_eq!(ours, [true, false, false, false]);
    assert_eq!(resolve(&world, &key("theirs"), &options()), None);
}

#[test]
fn ports_are_bound_where_infrastructure_says() {
    let world = world(
        "
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: c
  listeners:
  - {name: high, port: 10080, protocol: HTTP}
  - {name: low, port: 80, protocol: HTTP}
  - {name: other, port: 8080, protocol: HTTP}",
    );
    let address = "127.0.0.2".parse().expect("address");
    let options = Options {
        bind: PortMap { privileged_offset: 10_000, exact: BTreeMap::new() },
        addresses: BTreeMap::from([(key("gw"), vec![address])]),
        ..options()
    };
    let resolved = resolve(&world, &key("gw"), &options).expect("ours");
    let bound: Vec<_> =
        resolved.ir.listeners.iter().map(|l| (l.port, l.bind_port, l.addresses.clone())).collect();
    assert_eq!(bound, [(80, 10_080, vec![address]), (8080, 8080, vec![address])]);
    assert_eq!(shown(&resolved.reports.gateway.listeners[0].conditions, "Accepted"), "False/PortUnavailable");
}
