//! Filters, timeouts, and what becomes of rules that cannot be served.

use super::*;
use crate::gateway::ir::{Forward, HeaderChanges, PathChange};

fn with_rule(rule: &str) -> Resolved {
    on_base(&format!(
        "kind: HTTPRoute\nmetadata: {{name: r}}\nspec: {{parentRefs: [{{name: gw}}], rules: [{{{rule}}}]}}"
    ))
}

const TO_A: &str = "backendRefs: [{name: a, port: 80}]";

#[test]
fn what_is_not_served_answers_500_and_is_told() {
    for (rule, reason, field) in [
        ("filters: [{type: CORS, cors: {}}]", "UnsupportedValue", "filters[0].type"),
        ("filters: [{type: ExternalAuth, externalAuth: {}}]", "UnsupportedValue", "filters[0].type"),
        ("filters: [{type: Later}]", "UnsupportedValue", "filters[0].type"),
        (
            "filters: [{type: ExtensionRef, extensionRef: {group: g, kind: k, name: n}}]",
            "UnsupportedValue",
            "filters[0].type",
        ),
        ("filters: [{type: URLRewrite}]", "UnsupportedValue", "filters[0].urlRewrite"),
        (
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: Host, value: x}]}}]",
            "UnsupportedValue",
            "filters[0].requestHeaderModifier.set[0].name",
        ),
        (
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: ['a b']}}]",
            "UnsupportedValue",
            "filters[0].requestHeaderModifier.remove[0]",
        ),
        (
            "filters: [{type: URLRewrite, urlRewrite: {hostname: a}}, {type: URLRewrite, urlRewrite: {hostname: b}}]",
            "IncompatibleFilters",
            "filters[1]",
        ),
        (
            "filters: [{type: RequestRedirect, requestRedirect: {}}, {type: URLRewrite, urlRewrite: {}}]",
            "IncompatibleFilters",
            "filters",
        ),
        ("filters: [{type: RequestRedirect, requestRedirect: {}}]", "IncompatibleFilters", "filters"),
        (
            "filters: [{type: RequestRedirect, requestRedirect: {statusCode: 304}}]",
            "UnsupportedValue",
            "statusCode",
        ),
        ("filters: [{type: RequestRedirect, requestRedirect: {scheme: ftp}}]", "UnsupportedValue", "scheme"),
        (
            "matches: [{path: {type: Exact, value: /a}}], \
             filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]",
            "UnsupportedValue",
            "replacePrefixMatch",
        ),
        (
            "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 80}, percent: 101}}]",
            "UnsupportedValue",
            "requestMirror",
        ),
        ("timeouts: {request: 1d}", "UnsupportedValue", "timeouts.request"),
        ("timeouts: {request: 1s, backendRequest: 2s}", "UnsupportedValue", "timeouts.backendRequest"),
    ] {
        let resolved = with_rule(&format!("{rule}, {TO_A}"));
        let route = resolved.route("r");
        assert_eq!(shown(route, "Accepted"), format!("False/{reason}"), "{rule}");
        assert!(message(route, "Accepted").contains(field), "{rule}: {}", message(route, "Accepted"));
        let path = if rule.contains("/a}") { "/a" } else { "/" };
        assert!(resolved.get("x", path).starts_with("500:"), "{rule}: {}", resolved.get("x", path));
        assert_eq!(resolved.reports.gateway.listeners[0].attached_routes, 0, "{rule}");
    }
}

#[test]
fn a_backend_with_a_filter_that_is_not_served_refuses_its_share() {
    let resolved = with_rule(
        "backendRefs: [{name: a, port: 80}, {name: b, port: 80, filters: [{type: URLRewrite, urlRewrite: {hostname: x}}]}]",
    );
    assert_eq!(resolved.get("x", "/"), "service/default/a/80*1 500:unsupported_filter*1");
    assert_eq!(shown(resolved.route("r"), "Accepted"), "False/UnsupportedValue");
}

#[test]
fn some_invalid_rules_leave_the_others() {
    let resolved = on_base(
        "
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: gw}]
  rules:
  - {matches: [{path: {value: /ok}}], backendRefs: [{name: a, port: 80}]}
  - {matches: [{path: {value: /ok/x}}, {path: {type: RegularExpression, value: '['}}], backendRefs: [{name: b, port: 80}]}
  - {matches: [{path: {value: /auth}}], filters: [{type: ExternalAuth}], backendRefs: [{name: b, port: 80}]}",
    );
    let route = resolved.route("r");
    assert_eq!(shown(route, "Accepted"), "True/Accepted");
    assert_eq!(shown(route, "PartiallyInvalid"), "True/UnsupportedValue");
    let told = message(route, "PartiallyInvalid");
    assert!(
        told.starts_with("Dropped Rule 1, 2: spec.rules[1].matches[1].path.value: \"[\" is no RE2"),
        "{told}"
    );
    assert_eq!(resolved.get("x", "/ok/x"), "service/default/a/80", "a rule that cannot match is not there");
    assert_eq!(resolved.get("x", "/auth"), "500:unsupported_filter", "a filter is not skipped");
}

#[test]
fn redirect_ports() {
    let gateway = "
kind: Gateway
metadata: {name: gw}
spec:
  gatewayClassName: c
  listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 8080, protocol: HTTP}]
---
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: gw}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {hostname: e.org, FIELDS}}]}]";
    for (fields, on_80, on_8080) in [
        ("", "302 ://e.org", "302 ://e.org:8080"),
        ("port: 80", "302 ://e.org", "302 ://e.org"),
        ("port: 8080", "302 ://e.org:8080", "302 ://e.org:8080"),
        ("scheme: https", "302 https://e.org", "302 https://e.org"),
        ("scheme: https, port: 443", "302 https://e.org", "302 https://e.org"),
        ("scheme: https, port: 8443", "302 https://e.org:8443", "302 https://e.org:8443"),
        ("scheme: http, port: 443", "302 http://e.org:443", "302 http://e.org:443"),
        ("scheme: HTTP, statusCode: 308", "308 http://e.org", "308 http://e.org"),
    ] {
        let resolved = resolved(&gateway.replace("FIELDS", fields), "gw");
        assert_eq!(
            [80, 8080].map(|port| resolved.ask(port, "x", "GET", "/", &[])),
            [on_80, on_8080],
            "{fields}"
        );
    }
}

fn forward(resolved: &Resolved) -> &Forward {
    match &resolved.port(80).virtual_hosts[0].routes[0].action {
        Action::Forward(forward) => forward,
        other => panic!("{other:?}"),
    }
}

#[test]
fn header_changes_reach_backends_in_order() {
    let modifier = |kind: &str, field: &str, set: &str, add: &str, remove: &str| {
        format!(
            "{{type: {kind}, {field}: {{set: [{{name: X-Set, value: {set}}}], add: [{{name: X-Add, value: {add}}}], remove: [{remove}]}}}}"
        )
    };
    let rule = modifier("RequestHeaderModifier", "requestHeaderModifier", "rule", "rule", "X-Gone");
    let backend = modifier("RequestHeaderModifier", "requestHeaderModifier", "backend", "backend", "X-Too");
    let response = modifier("ResponseHeaderModifier", "responseHeaderModifier", "r", "r", "X-Gone");
    let resolved = with_rule(&format!(
        "filters: [{rule}, {response}], backendRefs: [{{name: a, port: 80, filters: [{backend}, {response}]}}, {{name: b, port: 80}}]"
    ));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let [a, b] = forward(&resolved).backends.as_slice() else { panic!("two backends") };
    assert_eq!(
        a.request_headers,
        HeaderChanges {
            set: vec![pair("x-set", "backend")],
            add: vec![pair("x-add", "rule"), pair("x-add", "backend")],
            remove: vec!["x-gone".into(), "x-too".into()],
        }
    );
    assert_eq!(b.request_headers.set, [pair("x-set", "rule")]);
    assert_eq!(a.response_headers.set, [pair("x-set", "r")]);
    assert!(b.response_headers.is_empty());
    assert_eq!(resolved.port(80).virtual_hosts[0].routes[0].response_headers.remove, ["x-gone"]);
}

#[test]
fn rewrites() {
    for (path, expected) in [
        ("{type: ReplaceFullPath, replaceFullPath: /one}", PathChange::Full("/one".into())),
        ("{type: ReplaceFullPath, replaceFullPath: one}", PathChange::Full("/one".into())),
        ("{type: ReplacePrefixMatch, replacePrefixMatch: /xyz/}", PathChange::Prefix("/xyz".into())),
        ("{type: ReplacePrefixMatch, replacePrefixMatch: ''}", PathChange::Prefix("/".into())),
        ("{type: ReplacePrefixMatch, replacePrefixMatch: /}", PathChange::Prefix("/".into())),
    ] {
        let filter = format!("{{type: URLRewrite, urlRewrite: {{hostname: One.example.org, path: {path}}}}}");
        let resolved = with_rule(&format!("filters: [{filter}], {TO_A}"));
        let rewrite = &forward(&resolved).rewrite;
        assert_eq!(
            (rewrite.hostname.as_deref(), rewrite.path.as_ref()),
            (Some("one.example.org"), Some(&expected))
        );
    }
}

#[test]
fn mirrors() {
    let mirror = |rest: &str| format!("{{type: RequestMirror, requestMirror: {{{rest}}}}}");
    let filters = [
        mirror("backendRef: {name: b, port: 80}"),
        mirror("backendRef: {name: a, port: 80}, percent: 20"),
        mirror("backendRef: {name: a, port: 81}, fraction: {numerator: 1, denominator: 3}"),
        mirror("backendRef: {name: b, port: 80}, percent: 0"),
        mirror("backendRef: {name: nope, port: 80}"),
        mirror("backendRef: {name: p, kind: InferencePool}"),
    ];
    let resolved = with_rule(&format!("filters: [{}], {TO_A}", filters.join(", ")));
    let mirrors = forward(&resolved).mirrors.iter().map(|m| (m.cluster.as_str(), m.per_million));
    assert_eq!(
        mirrors.collect::<Vec<_>>(),
        [
            ("service/default/b/80", 1_000_000),
            ("service/default/a/80", 200_000),
            ("service/default/a/81", 333_333)
        ]
    );
    let route = resolved.route("r");
    assert_eq!(
        (shown(route, "Accepted"), shown(route, "ResolvedRefs")),
        ("True/Accepted".into(), "False/BackendNotFound".into())
    );
    assert!(
        message(route, "ResolvedRefs").contains("filters[5].requestMirror.backendRef: copies do not pass")
    );
    assert!(
        resolved.ir.clusters.keys().any(|name| name.as_str() == "service/default/b/80"),
        "mirrors have clusters"
    );
}

#[test]
fn timeouts() {
    let resolved = with_rule(&format!("timeouts: {{request: 0s, backendRequest: 500ms}}, {TO_A}"));
    let forward = forward(&resolved);
    let millis = [forward.request_timeout, forward.backend_timeout].map(|t| t.map(|t| t.as_millis()));
    assert_eq!(millis, [Some(0), Some(500)]);
}

#[test]
fn fields_that_are_not_served_are_told() {
    let resolved = with_rule(&format!("retry: {{attempts: 3}}, {TO_A}"));
    assert!(message(resolved.route("r"), "Accepted").contains("spec.rules[0].retry: is not served"));
}
