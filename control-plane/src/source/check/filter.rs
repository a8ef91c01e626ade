//! Filters of HTTPRoute rules and backends.

use std::collections::BTreeMap;

use super::{
    Findings,
    http_route::check_backend,
    pattern::{PRECISE_HOSTNAME, TOKEN, precise_hostname, token},
};
use crate::{
    api::{
        HeaderFilter, HttpHeader, HttpRouteFilter, HttpRouteMatch, PathMatchType, PathModifier,
        PathModifierType, RequestMirror, RequestRedirect,
    },
    source::field::Field,
};

/// Whether a redirect is among the filters.
pub(super) fn redirects(filters: &[HttpRouteFilter]) -> bool {
    filters.iter().any(|filter| filter.request_redirect.is_some())
}

/// All filters of a rule or a backend; `matches` are the rule's.
pub(super) fn check_all(
    field: Field<'_>,
    filters: &[HttpRouteFilter],
    matches: &[HttpRouteMatch],
    findings: &mut Findings,
) {
    findings.count(field, filters.len(), 0, 16);
    let mut seen = BTreeMap::new();
    for (i, filter) in filters.iter().enumerate() {
        let item = field.at(i);
        let repeatable = matches!(filter.kind.as_str(), "RequestMirror" | "ExtensionRef");
        if seen.insert(&filter.kind, i).is_some() && !repeatable {
            findings.add(item, format!("{} is there twice", filter.kind), "join them into one filter");
        }
        check_union(item, filter, findings);
        check_one(item, filter, matches, findings);
    }
    if redirects(filters) && filters.iter().any(|filter| filter.url_rewrite.is_some()) {
        findings.add(field, "RequestRedirect and URLRewrite cannot be used together", "remove one of them");
    }
}

/// The field that the type names is there, and no other.
fn check_union(field: Field<'_>, filter: &HttpRouteFilter, findings: &mut Findings) {
    let members = [
        ("RequestHeaderModifier", "requestHeaderModifier", filter.request_header_modifier.is_some()),
        ("ResponseHeaderModifier", "responseHeaderModifier", filter.response_header_modifier.is_some()),
        ("RequestRedirect", "requestRedirect", filter.request_redirect.is_some()),
        ("URLRewrite", "urlRewrite", filter.url_rewrite.is_some()),
        ("RequestMirror", "requestMirror", filter.request_mirror.is_some()),
        ("ExtensionRef", "extensionRef", filter.extension_ref.is_some()),
        ("CORS", "cors", filter.cors.is_some()),
        ("ExternalAuth", "externalAuth", filter.external_auth.is_some()),
    ];
    if filter.kind.is_empty() {
        let types: Vec<&str> = members.iter().map(|member| member.0).collect();
        findings.add(field.name("type"), "is required", format!("use one of {}", types.join(", ")));
        return;
    }
    for (kind, name, present) in members {
        if kind == filter.kind && !present {
            findings.add(field.name(name), format!("is required for type {kind}"), "add it");
        } else if kind != filter.kind && present {
            let message = format!("does not belong to type {}", filter.kind);
            findings.add(field.name(name), message, format!("remove it, or write type: {kind}"));
        }
    }
}

fn check_one(
    field: Field<'_>,
    filter: &HttpRouteFilter,
    matches: &[HttpRouteMatch],
    findings: &mut Findings,
) {
    if let Some(headers) = &filter.request_header_modifier {
        check_headers(field.name("requestHeaderModifier"), headers, findings);
    }
    if let Some(headers) = &filter.response_header_modifier {
        check_headers(field.name("responseHeaderModifier"), headers, findings);
    }
    if let Some(redirect) = &filter.request_redirect {
        check_redirect(field.name("requestRedirect"), redirect, matches, findings);
    }
    if let Some(rewrite) = &filter.url_rewrite {
        let item = field.name("urlRewrite");
        if let Some(host) = &rewrite.hostname {
            findings.pattern(item.name("hostname"), host, precise_hostname, PRECISE_HOSTNAME);
        }
        if let Some(path) = &rewrite.path {
            check_modifier(item.name("path"), path, matches, findings);
        }
    }
    if let Some(mirror) = &filter.request_mirror {
        check_mirror(field.name("requestMirror"), mirror, findings);
    }
}

fn check_headers(field: Field<'_>, headers: &HeaderFilter, findings: &mut Findings) {
    for (name, list) in [("set", &headers.set), ("add", &headers.add)] {
        let item = field.name(name);
        findings.count(item, list.len(), 0, 16);
        for (i, HttpHeader { name, value }) in list.iter().enumerate() {
            let header = item.at(i);
            findings.pattern(header.name("name"), name, token, TOKEN);
            findings.length(header.name("value"), value, 1, 4096);
            if list[..i].iter().any(|before| before.name == *name) {
                findings.add(header.name("name"), format!("{name:?} is there twice"), "keep one");
            }
        }
    }
    let remove = field.name("remove");
    findings.count(remove, headers.remove.len(), 0, 16);
    for (i, name) in headers.remove.iter().enumerate() {
        if headers.remove[..i].contains(name) {
            findings.add(remove.at(i), format!("{name:?} is there twice"), "keep one");
        }
    }
}

fn check_redirect(
    field: Field<'_>,
    redirect: &RequestRedirect,
    matches: &[HttpRouteMatch],
    findings: &mut Findings,
) {
    if let Some(scheme) = &redirect.scheme {
        let known = ["http", "https"].contains(&scheme.as_str());
        findings.require(known, field.name("scheme"), "must be http or https");
    }
    if let Some(host) = &redirect.hostname {
        findings.pattern(field.name("hostname"), host, precise_hostname, PRECISE_HOSTNAME);
    }
    if let Some(path) = &redirect.path {
        check_modifier(field.name("path"), path, matches, findings);
    }
    if let Some(port) = redirect.port {
        findings.port(field.name("port"), port);
    }
    if let Some(code) = redirect.status_code {
        let known = [301, 302, 303, 307, 308].contains(&code);
        findings.require(known, field.name("statusCode"), "must be 301, 302, 303, 307 or 308");
    }
}

fn check_modifier(
    field: Field<'_>,
    path: &PathModifier,
    matches: &[HttpRouteMatch],
    findings: &mut Findings,
) {
    let members = [
        (PathModifierType::ReplaceFullPath, "replaceFullPath", &path.replace_full_path),
        (PathModifierType::ReplacePrefixMatch, "replacePrefixMatch", &path.replace_prefix_match),
    ];
    for (kind, name, value) in members {
        if let Some(value) = value {
            findings.length(field.name(name), value, 0, 1024);
        }
        if kind == path.kind && value.is_none() {
            findings.add(field.name(name), format!("is required for type {name:?}"), "add it");
        } else if kind != path.kind && value.is_some() {
            findings.add(field.name(name), "does not belong to the type", "remove it, or change the type");
        }
    }
    // No path means the prefix `/`, which the API server fills in before its rules run; an empty list likewise.
    let prefixed =
        |m: &HttpRouteMatch| m.path.as_ref().is_none_or(|path| path.kind == PathMatchType::PathPrefix);
    if path.replace_prefix_match.is_some() && !(matches.len() <= 1 && matches.iter().all(prefixed)) {
        let message = "needs exactly one match in the rule, of type PathPrefix";
        findings.add(field.name("replacePrefixMatch"), message, "split the rule");
    }
}

fn check_mirror(field: Field<'_>, mirror: &RequestMirror, findings: &mut Findings) {
    check_backend(field.name("backendRef"), &mirror.backend_ref, findings);
    if let Some(percent) = mirror.percent {
        findings.range(field.name("percent"), percent, 0, 100);
        let alone = mirror.fraction.is_none();
        findings.require(alone, field.name("percent"), "cannot be used together with fraction");
    }
    if let Some(fraction) = &mirror.fraction {
        let item = field.name("fraction");
        findings.require(fraction.denominator > 0, item.name("denominator"), "must be 1 or more");
        let proper = fraction.numerator <= fraction.denominator;
        findings.require(proper, item.name("numerator"), "must not exceed the denominator");
    }
}
