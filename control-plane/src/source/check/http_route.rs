//! `HTTPRoute`: parents, hostnames, rules and their backends. Matches and filters have modules of their own.

use std::collections::BTreeMap;

use super::{
    Findings,
    duration::{self, DURATION},
    filter,
    pattern::{HOSTNAME, KIND, LABEL, SUBDOMAIN, api_group, dns_label, dns_subdomain, hostname, kind},
    route_match,
};
use crate::{
    api::{BackendRef, HttpRoute, HttpRouteRule, ParentRef, Timeouts},
    source::field::Field,
};

/// Matches of all rules together, by the CRD's rule.
const MAX_MATCHES: usize = 128;

pub(super) fn check(route: &HttpRoute, findings: &mut Findings) {
    let spec = Field::ROOT.name("spec");
    check_parents(spec.name("parentRefs"), &route.spec.parent_refs, findings);
    let hostnames = spec.name("hostnames");
    findings.count(hostnames, route.spec.hostnames.len(), 0, 16);
    for (i, host) in route.spec.hostnames.iter().enumerate() {
        findings.pattern(hostnames.at(i), host, hostname, HOSTNAME);
    }
    let Some(rules) = &route.spec.rules else { return };
    let field = spec.name("rules");
    findings.count(field, rules.len(), 1, 16);
    let mut names = BTreeMap::new();
    for (i, rule) in rules.iter().enumerate() {
        check_rule(field.at(i), rule, findings);
        if let Some(name) = &rule.name
            && let Some(first) = names.insert(name, i)
        {
            let message = format!("{name:?} is the name of rule {first} too");
            findings.add(field.at(i).name("name"), message, "give each rule a name of its own");
        }
    }
    let matches: usize = rules.iter().map(|rule| rule.matches.len()).sum();
    if matches > MAX_MATCHES {
        let message = format!("has {matches} matches in all rules, and {MAX_MATCHES} are allowed");
        findings.add(field, message, "split the route");
    }
}

fn check_parents(field: Field<'_>, parents: &[ParentRef], findings: &mut Findings) {
    findings.count(field, parents.len(), 0, 32);
    for (i, parent) in parents.iter().enumerate() {
        let item = field.at(i);
        findings.pattern(item.name("group"), &parent.group, api_group, SUBDOMAIN);
        findings.pattern(item.name("kind"), &parent.kind, kind, KIND);
        findings.length(item.name("name"), &parent.name, 1, 253);
        if let Some(namespace) = &parent.namespace {
            findings.pattern(item.name("namespace"), namespace, dns_label, LABEL);
        }
        if let Some(section) = &parent.section_name {
            findings.pattern(item.name("sectionName"), section, dns_subdomain, SUBDOMAIN);
        }
        if let Some(port) = parent.port {
            findings.port(item.name("port"), port);
        }
        check_same_parent(item, &parents[..i], parent, findings);
    }
}

/// Several references to one parent each name a section or port, and differ in it.
fn check_same_parent(field: Field<'_>, before: &[ParentRef], parent: &ParentRef, findings: &mut Findings) {
    let part = |p: &ParentRef| (p.section_name.clone().unwrap_or_default(), p.port.unwrap_or_default());
    let whole = (String::new(), 0);
    for other in before {
        let same = (&other.group, &other.kind, &other.namespace, &other.name)
            == (&parent.group, &parent.kind, &parent.namespace, &parent.name);
        if !same {
            continue;
        }
        if part(other) == part(parent) {
            findings.add(field, "refers to the same parent as one before it", "remove it");
        } else if part(other) == whole || part(parent) == whole {
            let message = "two references to one parent must both have a sectionName or port";
            findings.add(field, message, "add sectionName, or keep the reference to the whole Gateway alone");
        }
    }
}

fn check_rule(field: Field<'_>, rule: &HttpRouteRule, findings: &mut Findings) {
    if let Some(name) = &rule.name {
        findings.pattern(field.name("name"), name, dns_subdomain, SUBDOMAIN);
    }
    let matches = field.name("matches");
    findings.count(matches, rule.matches.len(), 0, 64);
    for (i, entry) in rule.matches.iter().enumerate() {
        route_match::check(matches.at(i), entry, findings);
    }
    filter::check_all(field.name("filters"), &rule.filters, &rule.matches, findings);
    if filter::redirects(&rule.filters) && !rule.backend_refs.is_empty() {
        let message = "must be empty where a RequestRedirect filter answers";
        findings.add(field.name("backendRefs"), message, "remove the backends or the filter");
    }
    let backends = field.name("backendRefs");
    findings.count(backends, rule.backend_refs.len(), 0, 16);
    for (i, backend) in rule.backend_refs.iter().enumerate() {
        let item = backends.at(i);
        check_backend(item, &backend.backend, findings);
        findings.range(item.name("weight"), backend.weight, 0, 1_000_000);
        filter::check_all(item.name("filters"), &backend.filters, &rule.matches, findings);
    }
    if let Some(timeouts) = &rule.timeouts {
        check_timeouts(field.name("timeouts"), timeouts, findings);
    }
}

/// A backend of a rule or of a mirror.
pub(super) fn check_backend(field: Field<'_>, backend: &BackendRef, findings: &mut Findings) {
    if let Some(group) = &backend.group {
        findings.pattern(field.name("group"), group, api_group, SUBDOMAIN);
    }
    findings.pattern(field.name("kind"), &backend.kind, kind, KIND);
    findings.length(field.name("name"), &backend.name, 1, 253);
    if let Some(namespace) = &backend.namespace {
        findings.pattern(field.name("namespace"), namespace, dns_label, LABEL);
    }
    let core = backend.group.as_deref().unwrap_or_default().is_empty();
    match backend.port {
        Some(port) => findings.port(field.name("port"), port),
        None if core && backend.kind == "Service" => {
            findings.add(field.name("port"), "is required for a Service", "give the Service's port");
        }
        None => {}
    }
}

fn check_timeouts(field: Field<'_>, timeouts: &Timeouts, findings: &mut Findings) {
    let mut read = |name, text: &Option<String>| {
        let text = text.as_deref()?;
        let parsed = duration::parse(text);
        if parsed.is_none() {
            findings.add(field.name(name), format!("{text:?} is not {DURATION}"), "");
        }
        parsed
    };
    let request = read("request", &timeouts.request);
    let backend = read("backendRequest", &timeouts.backend_request);
    if let (Some(request), Some(backend)) = (request, backend)
        && !request.is_zero()
        && backend > request
    {
        findings.add(field.name("backendRequest"), "must not be longer than request", "raise request");
    }
}
