//! parentRefs and backendRefs.

use super::*;

const GATEWAY: &str = "
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: c
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: '*.a.com'}
  - {name: alt, port: 8080, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - name: labelled
    port: 8090
    protocol: HTTP
    allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: red}}}}
  - {name: nobody, port: 8100, protocol: HTTP, allowedRoutes: {namespaces: {from: None}}}
  - {name: tls, port: 443, protocol: TLS}
  - {name: grpc, port: 8110, protocol: HTTP, allowedRoutes: {kinds: [{kind: GRPCRoute}]}}
---
kind: Namespace
metadata: {name: red, labels: {team: red}}
---
kind: Service
metadata: {name: a}
spec: {ports: [{port: 80}]}
---";

#[test]
fn parents() {
    for (namespace, parent, hostnames, accepted, ports) in [
        ("default", "", "[]", "True/Accepted", &[80_u16, 8080][..]),
        ("default", ", sectionName: http", "[x.a.com]", "True/Accepted", &[80]),
        ("default", ", sectionName: http", "[x.b.com]", "False/NoMatchingListenerHostname", &[]),
        ("default", ", sectionName: http", "['1.2.3.4']", "False/NoMatchingListenerHostname", &[]),
        ("default", ", port: 8080", "[]", "True/Accepted", &[8080]),
        ("default", ", port: 81", "[]", "False/NoMatchingParent", &[]),
        ("default", ", sectionName: http, port: 8080", "[]", "False/NoMatchingParent", &[]),
        ("default", ", sectionName: nope", "[]", "False/NoMatchingParent", &[]),
        ("default", ", sectionName: nobody", "[]", "False/NotAllowedByListeners", &[]),
        ("default", ", sectionName: grpc", "[]", "False/NotAllowedByListeners", &[]),
        ("default", ", sectionName: tls", "[]", "False/NotAllowedByListeners", &[]),
        ("default", ", sectionName: labelled", "[]", "False/NotAllowedByListeners", &[]),
        ("blue", "", "[]", "True/Accepted", &[8080]),
        ("blue", ", sectionName: http", "[]", "False/NotAllowedByListeners", &[]),
        ("red", "", "[]", "True/Accepted", &[8080, 8090]),
    ] {
        let route = format!(
            "
kind: HTTPRoute
metadata: {{name: r, namespace: {namespace}, generation: 7}}
spec:
  parentRefs: [{{name: gw, namespace: default{parent}}}, {{name: other}}, {{name: gw, namespace: default, kind: Service}}]
  hostnames: {hostnames}
  rules: [{{backendRefs: [{{name: a, namespace: default, port: 80}}]}}]"
        );
        let resolved = resolved(&format!("{GATEWAY}{route}"), "gw");
        let reports = &resolved.reports.routes[&NamespacedName::new(namespace, "r")];
        assert_eq!((reports.len(), reports[0].generation), (1, 7));
        assert_eq!(shown(&reports[0].conditions, "Accepted"), accepted, "{namespace} {parent} {hostnames}");
        let attached = resolved.reports.gateway.listeners.iter().zip([80, 8080, 8090, 8100, 443, 8110]);
        let attached: Vec<u16> =
            attached.filter(|(l, _)| l.attached_routes > 0).map(|(_, port)| port).collect();
        assert_eq!(attached, ports, "{namespace} {parent} {hostnames}");
    }
}

/// A route counts on a refused listener too, once another listener makes it accepted.
#[test]
fn refused_listeners_count_routes() {
    let resolved = resolved(
        "
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: c
  listeners:
  - {name: a, port: 80, protocol: HTTP}
  - {name: b, port: 81, protocol: HTTP}
  - {name: c, port: 81, protocol: HTTP}
---
kind: HTTPRoute
metadata: {name: everywhere}
spec: {parentRefs: [{name: gw}]}
---
kind: HTTPRoute
metadata: {name: refused}
spec: {parentRefs: [{name: gw, port: 81}]}",
        "gw",
    );
    let counts: Vec<u32> = resolved.reports.gateway.listeners.iter().map(|l| l.attached_routes).collect();
    assert_eq!(counts, [1, 1, 1]);
    assert_eq!(shown(resolved.route("refused"), "Accepted"), "False/NotAllowedByListeners");
}

const BACKENDS: &str = "
kind: Service
metadata: {name: far, namespace: other}
spec: {ports: [{port: 80}]}
---
kind: Service
metadata: {name: granted, namespace: other}
spec: {ports: [{port: 80}]}
---
kind: ReferenceGrant
metadata: {name: g, namespace: other}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}]
  to: [{group: '', kind: Service, name: granted}, {group: inference.networking.k8s.io, kind: InferencePool}]
---
kind: ReferenceGrant
metadata: {name: misleading, namespace: other}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: elsewhere}, {group: x, kind: HTTPRoute, namespace: default}]
  to: [{group: '', kind: Service}]
---
kind: InferencePool
metadata: {name: p, namespace: other}
spec: {selector: {matchLabels: {a: b}}, targetPorts: [{number: 8000}]}
---
kind: InferencePool
metadata: {name: odd}
spec: {selector: {matchLabels: {a: b}}, targetPorts: [{number: 8000}], appProtocol: kubernetes.io/ws}
---
kind: Service
metadata: {name: typed}
spec:
  ports:
  - {name: h2c, port: 1, appProtocol: kubernetes.io/h2c}
  - {name: ws, port: 2, appProtocol: kubernetes.io/ws}
  - {name: wss, port: 3, appProtocol: kubernetes.io/wss}
  - {name: https, port: 4, appProtocol: https}
  - {name: grpc, port: 5, appProtocol: grpc}
  - {name: own, port: 6, appProtocol: example.com/own}
  - {name: udp, port: 7, protocol: UDP}
---
kind: Service
metadata: {name: outside}
spec: {type: ExternalName, ports: [{port: 80}]}
---";

#[test]
fn backends() {
    for (backend, refs, answer) in [
        ("name: a, port: 80", "True/ResolvedRefs", "service/default/a/80"),
        ("name: a, port: 80, group: ''", "True/ResolvedRefs", "service/default/a/80"),
        ("name: a, port: 82", "False/BackendNotFound", "500:backend_not_found"),
        ("name: a", "False/BackendNotFound", "500:backend_not_found"),
        ("name: nope, port: 80", "False/BackendNotFound", "500:backend_not_found"),
        ("name: a, port: 80, kind: NonExistent", "False/InvalidKind", "500:invalid_backend_kind"),
        ("name: a, port: 80, group: apps", "False/InvalidKind", "500:invalid_backend_kind"),
        ("name: outside, port: 80", "False/InvalidKind", "500:invalid_backend_kind"),
        ("name: far, port: 80, namespace: other", "False/RefNotPermitted", "500:reference_not_permitted"),
        ("name: secret, port: 80, namespace: other", "False/RefNotPermitted", "500:reference_not_permitted"),
        ("name: granted, port: 80, namespace: other", "True/ResolvedRefs", "service/other/granted/80"),
        ("name: granted, port: 80, namespace: other, weight: 0", "True/ResolvedRefs", "500:no_backends"),
        ("name: typed, port: 1", "True/ResolvedRefs", "service/default/typed/1"),
        ("name: typed, port: 3", "False/UnsupportedProtocol", "500:unsupported_backend_protocol"),
        ("name: typed, port: 4", "False/UnsupportedProtocol", "500:unsupported_backend_protocol"),
        ("name: typed, port: 6", "True/ResolvedRefs", "service/default/typed/6"),
        ("name: typed, port: 7", "False/BackendNotFound", "500:backend_not_found"),
        ("name: p, kind: InferencePool, namespace: other, port: 1", "True/ResolvedRefs", "pool/other/p"),
        ("name: nope, kind: InferencePool", "False/BackendNotFound", "500:backend_not_found"),
        ("name: odd, kind: InferencePool", "False/UnsupportedProtocol", "500:unsupported_backend_protocol"),
        (
            "name: p, kind: InferencePool, group: inference.networking.x-k8s.io",
            "False/InvalidKind",
            "500:invalid_backend_kind",
        ),
    ] {
        let route = format!(
            "kind: HTTPRoute\nmetadata: {{name: r}}\nspec: {{parentRefs: [{{name: gw}}], rules: [{{backendRefs: [{{{backend}}}]}}]}}"
        );
        let resolved = on_base(&format!("{BACKENDS}\n{route}"));
        let route = resolved.route("r");
        assert_eq!(shown(route, "Accepted"), "True/Accepted", "{backend}");
        assert_eq!(shown(route, "ResolvedRefs"), refs, "{backend}");
        assert_eq!(resolved.get("x", "/"), answer, "{backend}");
        let told = message(route, "ResolvedRefs");
        assert_eq!(
            told.starts_with("spec.rules[0].backendRefs[0]: "),
            told != "all references resolve",
            "{told}"
        );
    }
}

#[test]
fn clusters_speak_what_the_service_says() {
    use crate::gateway::ir::Protocol;
    let ports =
        "{name: typed, port: 1}, {name: typed, port: 2}, {name: typed, port: 5}, {name: typed, port: 6}";
    let resolved = on_base(&format!(
        "{BACKENDS}\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec: {{parentRefs: [{{name: gw}}], rules: [{{backendRefs: [{ports}]}}]}}"
    ));
    let protocols: Vec<Protocol> = resolved.ir.clusters.values().map(|cluster| cluster.protocol).collect();
    assert_eq!(protocols, [Protocol::Http2, Protocol::WebSocket, Protocol::Http2, Protocol::Http1]);
}

#[test]
fn weights() {
    for (backends, answer) in [
        (
            "[{name: a, port: 80, weight: 9}, {name: nope, port: 80}]",
            "service/default/a/80*9 500:backend_not_found*1",
        ),
        ("[{name: a, port: 80, weight: 0}, {name: b, port: 80}]", "service/default/b/80"),
        ("[{name: a, port: 80, weight: 0}, {name: nope, port: 80, weight: 0}]", "500:no_backends"),
        ("[{name: nope, port: 80}, {name: a, kind: X}]", "500:backend_not_found"),
        ("[]", "500:no_backends"),
    ] {
        let resolved = on_base(&format!(
            "kind: HTTPRoute\nmetadata: {{name: r}}\nspec: {{parentRefs: [{{name: gw}}], rules: [{{backendRefs: {backends}}}]}}"
        ));
        assert_eq!(resolved.get("x", "/"), answer, "{backends}");
    }
}
