//! `Gateway`.

use std::collections::BTreeMap;

use super::{
    Findings,
    gateway_class::check_parameters,
    pattern::{HOSTNAME, KIND, LABEL, SUBDOMAIN, api_group, dns_label, dns_subdomain, hostname, kind},
};
use crate::{
    api::{CertificateRef, Gateway, GatewaySpec, GatewayTls, Listener, ListenerProtocol, TlsMode},
    source::field::Field,
};

pub(super) fn check(gateway: &Gateway, findings: &mut Findings) {
    let spec = &gateway.spec;
    let root = Field::ROOT.name("spec");
    findings.length(root.name("gatewayClassName"), &spec.gateway_class_name, 1, 253);
    let listeners = root.name("listeners");
    findings.count(listeners, spec.listeners.len(), 1, 64);
    for (i, listener) in spec.listeners.iter().enumerate() {
        check_listener(listeners.at(i), listener, findings);
    }
    check_distinct(listeners, &spec.listeners, findings);
    check_infrastructure(root, spec, findings);
}

fn check_infrastructure(root: Field<'_>, spec: &GatewaySpec, findings: &mut Findings) {
    let addresses = root.name("addresses");
    findings.count(addresses, spec.addresses.len(), 0, 16);
    for (i, address) in spec.addresses.iter().enumerate() {
        if address.kind == "IPAddress"
            && let Some(value) = &address.value
            && value.parse::<std::net::IpAddr>().is_err()
        {
            findings.add(addresses.at(i).name("value"), format!("{value:?} is not an IP address"), "");
        }
    }
    let Some(infrastructure) = &spec.infrastructure else { return };
    let field = root.name("infrastructure");
    findings.count(field.name("labels"), infrastructure.labels.len(), 0, 8);
    findings.count(field.name("annotations"), infrastructure.annotations.len(), 0, 8);
    if let Some(parameters) = &infrastructure.parameters_ref {
        check_parameters(field.name("parametersRef"), parameters, findings);
    }
}

/// Names are unique, and so are (port, protocol, hostname).
fn check_distinct(field: Field<'_>, listeners: &[Listener], findings: &mut Findings) {
    let mut names = BTreeMap::new();
    let mut sockets = BTreeMap::new();
    for (i, listener) in listeners.iter().enumerate() {
        if let Some(first) = names.insert(&listener.name, i) {
            let message = format!("{:?} is the name of listener {first} too", listener.name);
            findings.add(field.at(i).name("name"), message, "give each listener a name of its own");
        }
        let socket = (listener.port, &listener.protocol, listener.hostname.as_deref().unwrap_or_default());
        if let Some(first) = sockets.insert(socket, i) {
            let message = format!("has the port, protocol and hostname of listener {first}");
            findings.add(field.at(i), message, "remove one, or change its port or hostname");
        }
    }
}

fn check_listener(field: Field<'_>, listener: &Listener, findings: &mut Findings) {
    findings.pattern(field.name("name"), &listener.name, dns_subdomain, SUBDOMAIN);
    findings.port(field.name("port"), listener.port);
    if let Some(host) = listener.hostname.as_deref().filter(|host| !host.is_empty()) {
        findings.pattern(field.name("hostname"), host, hostname, HOSTNAME);
        if matches!(listener.protocol, ListenerProtocol::Tcp | ListenerProtocol::Udp) {
            findings.add(field.name("hostname"), "is not allowed for TCP and UDP listeners", "remove it");
        }
    }
    if let ListenerProtocol::Unknown(word) = &listener.protocol {
        findings.length(field.name("protocol"), word, 1, 255);
    }
    let plain =
        matches!(listener.protocol, ListenerProtocol::Http | ListenerProtocol::Tcp | ListenerProtocol::Udp);
    match &listener.tls {
        Some(_) if plain => {
            findings.add(
                field.name("tls"),
                "is not allowed for HTTP, TCP and UDP listeners",
                "use protocol: HTTPS",
            );
        }
        Some(tls) => check_tls(field.name("tls"), listener, tls, findings),
        None => {}
    }
    let allowed = field.name("allowedRoutes");
    let kinds = allowed.name("kinds");
    findings.count(kinds, listener.allowed_routes.kinds.len(), 0, 8);
    for (i, allowed) in listener.allowed_routes.kinds.iter().enumerate() {
        let item = kinds.at(i);
        findings.pattern(item.name("group"), &allowed.group, api_group, SUBDOMAIN);
        findings.pattern(item.name("kind"), &allowed.kind, kind, KIND);
    }
}

fn check_tls(field: Field<'_>, listener: &Listener, tls: &GatewayTls, findings: &mut Findings) {
    if listener.protocol == ListenerProtocol::Https && tls.mode == Some(TlsMode::Passthrough) {
        findings.add(field.name("mode"), "must be Terminate for HTTPS listeners", "use protocol: TLS");
    }
    let terminates = matches!(tls.mode, None | Some(TlsMode::Terminate));
    let refs = field.name("certificateRefs");
    if terminates && tls.certificate_refs.is_empty() && tls.options.is_empty() {
        findings.add(refs, "is required when mode is Terminate", "name a Secret of type kubernetes.io/tls");
    }
    findings.count(refs, tls.certificate_refs.len(), 0, 64);
    findings.count(field.name("options"), tls.options.len(), 0, 16);
    for (i, reference) in tls.certificate_refs.iter().enumerate() {
        check_certificate(refs.at(i), reference, findings);
    }
}

fn check_certificate(field: Field<'_>, reference: &CertificateRef, findings: &mut Findings) {
    findings.pattern(field.name("group"), &reference.group, api_group, SUBDOMAIN);
    findings.pattern(field.name("kind"), &reference.kind, kind, KIND);
    findings.length(field.name("name"), &reference.name, 1, 253);
    if let Some(namespace) = &reference.namespace {
        findings.pattern(field.name("namespace"), namespace, dns_label, LABEL);
    }
}
