//! Listener isolation (GatewayHTTPListenerIsolation) and virtual hosts.

use super::*;

const LISTENERS: [(&str, &str); 4] = [
    ("empty-hostname", "unrelated.org"),
    ("wildcard-example-com", "bar.example.com"),
    ("wildcard-foo-example-com", "bar.foo.example.com"),
    ("abc-foo-example-com", "abc.foo.example.com"),
];

fn gateway() -> String {
    let hostnames = [None, Some("*.example.com"), Some("*.foo.example.com"), Some("abc.foo.example.com")];
    let listeners = LISTENERS.iter().zip(hostnames).map(|((name, _), hostname)| {
        let hostname = hostname.map(|h| format!(", hostname: '{h}'")).unwrap_or_default();
        format!("\n  - {{name: {name}, port: 80, protocol: HTTP{hostname}}}")
    });
    let listeners: String = listeners.collect();
    format!(
        "kind: Gateway\nmetadata: {{name: gw}}\nspec:\n  gatewayClassName: c\n  listeners:{listeners}\n---{BASE_SERVICES}"
    )
}

const BASE_SERVICES: &str = "
kind: Service
metadata: {name: a}
spec: {ports: [{port: 80}]}
";

fn routes(hostnames: &str) -> String {
    let routes = LISTENERS.iter().map(|(name, _)| {
        format!(
            "
---
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: gw, sectionName: {name}}}]
  hostnames: {hostnames}
  rules: [{{matches: [{{path: {{value: /{name}}}}}], backendRefs: [{{name: a, port: 80}}]}}]"
        )
    });
    routes.collect()
}

#[test]
fn a_request_uses_the_most_specific_listener_only() {
    for hostnames in ["[]", "[unrelated.org, '*.example.com', '*.foo.example.com', abc.foo.example.com]"] {
        let resolved = resolved(&format!("{}{}", gateway(), routes(hostnames)), "gw");
        assert_eq!(
            resolved.reports.gateway.listeners.iter().map(|l| l.attached_routes).collect::<Vec<_>>(),
            [1; 4]
        );
        for (owner, host) in LISTENERS {
            for (name, _) in LISTENERS {
                let expected = if name == owner { "service/default/a/80" } else { "404" };
                assert_eq!(resolved.get(host, &format!("/{name}")), expected, "{host} {name} {hostnames}");
            }
        }
    }
}

#[test]
fn a_listener_without_routes_answers_404() {
    let route = "
---
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: gw, sectionName: empty-hostname}]
  rules: [{backendRefs: [{name: a, port: 80}]}]";
    let resolved = resolved(&format!("{}{route}", gateway()), "gw");
    assert_eq!(resolved.get("unrelated.org", "/"), "service/default/a/80");
    assert_eq!(resolved.get("bar.example.com", "/"), "404");
    assert_eq!(resolved.hosts(80), ["*", "*.example.com", "*.foo.example.com", "abc.foo.example.com"]);
}

#[test]
fn one_host_merges_routes_and_no_route_twice() {
    let resolved = on_base(
        "
kind: HTTPRoute
metadata: {name: r1}
spec:
  parentRefs: [{name: gw}, {name: gw, sectionName: http}]
  hostnames: [Example.com, example.net]
  rules: [{matches: [{path: {value: /}}], backendRefs: [{name: a, port: 80}]}]
---
kind: HTTPRoute
metadata: {name: r2}
spec:
  parentRefs: [{name: gw}]
  hostnames: [example.com]
  rules: [{matches: [{path: {value: /v2}}], backendRefs: [{name: b, port: 80}]}]",
    );
    assert_eq!(resolved.get("example.com", "/"), "service/default/a/80");
    assert_eq!(resolved.get("example.com", "/v2/x"), "service/default/b/80");
    assert_eq!(resolved.get("example.net", "/v2"), "service/default/a/80");
    assert_eq!(resolved.get("other.net", "/v2"), "404");
    let lengths: Vec<usize> = resolved.port(80).virtual_hosts.iter().map(|host| host.routes.len()).collect();
    assert_eq!((resolved.hosts(80), lengths), (vec!["*", "example.com", "example.net"], vec![0, 2, 1]));
    assert_eq!(resolved.reports.routes[&key("r1")].len(), 2, "one report for each parentRef");
    assert_eq!(resolved.reports.gateway.listeners[0].attached_routes, 2);
}
