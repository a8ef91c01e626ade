//! Tests of the Gateway API conformance suite that concern resolving, with the requests they send.

use super::*;

#[test]
fn path_match_order() {
    let rules = [
        ("Exact", "/match", "a", 80),
        ("Exact", "/match/exact", "b", 80),
        ("Exact", "/match/exact/one", "a", 81),
        ("PathPrefix", "/match/", "a", 81),
        ("PathPrefix", "/match/prefix/", "a", 80),
        ("PathPrefix", "/match/prefix/one", "b", 80),
    ];
    let rules = rules.map(|(kind, path, name, port)| {
        format!("{{matches: [{{path: {{type: {kind}, value: {path}}}}}], backendRefs: [{{name: {name}, port: {port}}}]}}")
    });
    let resolved = on_base(&format!(
        "kind: HTTPRoute\nmetadata: {{name: r}}\nspec: {{parentRefs: [{{name: gw}}], rules: [{}]}}",
        rules.join(", ")
    ));
    for (path, answer) in [
        ("/match/exact/one", "service/default/a/81"),
        ("/match/exact", "service/default/b/80"),
        ("/match", "service/default/a/80"),
        ("/match/prefix/one/any", "service/default/b/80"),
        ("/match/prefix/any", "service/default/a/80"),
        ("/match/any", "service/default/a/81"),
        ("/matching", "404"),
    ] {
        assert_eq!(resolved.get("x", path), answer, "{path}");
    }
}

#[test]
fn matching() {
    let resolved = on_base(
        "
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: gw}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /}}, {headers: [{name: version, value: one}]}]
    backendRefs: [{name: a, port: 80}]
  - matches: [{path: {type: PathPrefix, value: /v2}}, {headers: [{name: version, value: two}]}]
    backendRefs: [{name: b, port: 80}]",
    );
    let (a, b) = ("service/default/a/80", "service/default/b/80");
    for (path, version, answer) in [
        ("/", "", a),
        ("/example", "", a),
        ("/", "one", a),
        ("/v2", "", b),
        ("/v2/", "", b),
        ("/v2/example", "", b),
        ("/", "two", b),
        ("/v2example", "", a),
        ("/foo/v2/example", "", a),
    ] {
        assert_eq!(resolved.ask(80, "x", "GET", path, &[("Version", version)]), answer, "{path} {version}");
    }
}

#[test]
fn header_query_and_method_matching() {
    let resolved = on_base(
        "
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: gw}]
  rules:
  - matches: [{headers: [{name: version, value: two}, {name: color, value: orange}]}]
    backendRefs: [{name: b, port: 80}]
  - matches: [{headers: [{name: version, value: two}]}]
    backendRefs: [{name: a, port: 80}]
  - matches: [{queryParams: [{name: animal, value: whale}]}, {queryParams: [{name: animal, type: RegularExpression, value: 'dol.*'}]}]
    backendRefs: [{name: a, port: 81}]
  - matches: [{method: PATCH}]
    backendRefs: [{name: b, port: 80}]",
    );
    for (method, path, headers, answer) in [
        ("GET", "/", &[("version", "two")][..], "service/default/a/80"),
        ("GET", "/", &[("version", "two"), ("color", "orange")], "service/default/b/80"),
        ("GET", "/", &[("color", "orange")], "404"),
        ("GET", "/?animal=whale", &[], "service/default/a/81"),
        ("GET", "/?animal=dolphin", &[], "service/default/a/81"),
        ("GET", "/?animal=seal", &[], "404"),
        ("PATCH", "/", &[], "service/default/b/80"),
        ("PATCH", "/", &[("version", "two")], "service/default/b/80"),
    ] {
        assert_eq!(resolved.ask(80, "x", method, path, headers), answer, "{method} {path} {headers:?}");
    }
}

#[test]
fn hostname_intersection() {
    let listeners = ["very.specific.com", "*.wildcard.io", "*.anotherwildcard.io"].map(|hostname| {
        format!("{{name: l{}, port: 80, protocol: HTTP, hostname: '{hostname}'}}", hostname.len())
    });
    let route = |name: &str, hostnames: &str| {
        format!(
            "\n---\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec:\n  parentRefs: [{{name: gw}}]\n  hostnames: [{hostnames}]\n  \
             rules: [{{matches: [{{path: {{value: /{name}}}}}], backendRefs: [{{name: a, port: 80}}]}}]"
        )
    };
    let manifests = [
        format!(
            "kind: Gateway\nmetadata: {{name: gw}}\nspec: {{gatewayClassName: c, listeners: [{}]}}",
            listeners.join(", ")
        ),
        "\n---\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}".into(),
        route("s1", "non.matching.com, '*.nonmatchingwildcard.io', very.specific.com"),
        route("s2", "non.matching.com, wildcard.io, foo.wildcard.io, bar.wildcard.io, foo.bar.wildcard.io"),
        route("s3", "non.matching.com, '*.specific.com'"),
        route("s4", "'*.anotherwildcard.io'"),
        route("s5", "specific.but.wrong.com, wildcard.io"),
    ];
    let resolved = resolved(&manifests.concat(), "gw");
    for (host, path, served) in [
        ("very.specific.com", "/s1", true),
        ("non.matching.com", "/s1", false),
        ("foo.nonmatchingwildcard.io", "/s1", false),
        ("foo.wildcard.io", "/s2", true),
        ("foo.bar.wildcard.io", "/s2", true),
        ("wildcard.io", "/s2", false),
        ("very.specific.com", "/s3", true),
        ("foo.specific.com", "/s3", false),
        ("one.anotherwildcard.io", "/s4", true),
        ("one.two.anotherwildcard.io", "/s4", true),
        ("anotherwildcard.io", "/s4", false),
        ("specific.but.wrong.com", "/s5", false),
    ] {
        assert_eq!(resolved.get(host, path) != "404", served, "{host}{path}");
    }
    assert_eq!(shown(resolved.route("s5"), "Accepted"), "False/NoMatchingListenerHostname");
    assert_eq!(
        resolved.reports.gateway.listeners.iter().map(|l| l.attached_routes).collect::<Vec<_>>(),
        [2, 1, 1]
    );
}

#[test]
fn attached_routes_count_only_accepted_ones() {
    let selector = "allowedRoutes: {kinds: [{kind: HTTPRoute}], namespaces: {from: Selector, selector: {matchLabels: \
                    {kubernetes.io/metadata.name: default}}}}";
    let route = |name: &str, hostname: &str| {
        format!(
            "\n---\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec:\n  hostnames: [{hostname}]\n  parentRefs: [{{name: gw}}]\n  \
             rules: [{{backendRefs: [{{name: does-not-exist, port: 8080}}]}}]"
        )
    };
    let manifests = [
        format!(
            "kind: Gateway\nmetadata: {{name: gw}}\nspec: {{gatewayClassName: c, listeners: [{{name: http, port: 80, \
             hostname: foo.example.com, protocol: HTTP, {selector}}}]}}"
        ),
        route("r1", "foo.example.com"),
        route("r2", ""),
        route("not-accepted", "not-accepted.test.com"),
    ];
    let resolved = resolved(&manifests.concat(), "gw");
    assert_eq!(
        resolved.reports.gateway.listeners[0].attached_routes, 2,
        "with unresolved references as well"
    );
    assert_eq!(shown(resolved.route("not-accepted"), "Accepted"), "False/NoMatchingListenerHostname");
}

/// HTTPRouteMultipleGateways: a shared route is on each, a dedicated one only on its own.
#[test]
fn gateways_are_separate() {
    let gateway = |name: &str| {
        format!(
            "kind: Gateway\nmetadata: {{name: {name}}}\nspec: {{gatewayClassName: c, listeners: [{{name: http, port: 80, protocol: HTTP}}]}}\n---\n"
        )
    };
    let route = |name: &str, parents: &str| {
        format!(
            "\n---\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec: {{parentRefs: [{parents}], rules: [{{matches: [{{path: {{value: /{name}}}}}]}}]}}"
        )
    };
    let manifests =
        [gateway("g1"), gateway("g2"), route("shared", "{name: g1}, {name: g2}"), route("own", "{name: g2}")]
            .concat();
    let (g1, g2) = (resolved(&manifests, "g1"), resolved(&manifests, "g2"));
    let served = |g: &Resolved| ["/shared", "/own"].map(|path| g.get("x", path) != "404");
    assert_eq!((served(&g1), served(&g2)), ([true, false], [true, true]));
    assert!(!g1.reports.routes.contains_key(&key("own")));
    assert_eq!(g1.reports.routes[&key("shared")][0].parent.name, "g1");
}
