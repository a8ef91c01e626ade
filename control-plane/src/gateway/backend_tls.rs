//! Decides how a Service is spoken to over TLS, and what is said of the policies that want it (BackendTLSPolicy).
//!
//! ```text
//! policies of the Service's namespace ─▶ those of the port before those of the Service, the oldest first ─▶ one decides
//!    that one ─┬─ resolves ──────▶ TLS: authorities, server name, names in the certificate
//!              └─ does not ──────▶ nothing is sent there: requests get 500, a picker counts as unusable
//! ```
//!
//! | Service | what a policy does |
//! |---|---|
//! | a backend of a route, or gets its copies | TLS to its endpoints; without a policy cleartext |
//! | the picker of a pool, run by somebody else | TLS to it, verified, whatever `signalbox.dev/picker-tls` says |
//! | a managed picker | nothing, and is not accepted: the control plane issues its certificate and verifies it |
//!
//! Several references to authorities are allowed; those that do not resolve are left out as long as one does.
//! `wellKnownCACertificates: System` is the file `/etc/ssl/certs/ca-certificates.crt` where Envoy runs. `options` are not
//! read.

use std::{collections::BTreeMap, sync::Arc};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    condition,
    ir::{Authorities, BackendName, BackendTls},
    pool,
    precedence::Age,
    report::PolicyReport,
};
use crate::{
    api::{
        BackendTLSPolicy, ConfigMap, LocalRef, NamespacedName, Object as _, PolicyTarget, ServicePort, group,
    },
    world::{Objects, World},
};

/// Why something is not as it should be: the reason of a condition, and field and remedy.
type Problem = (&'static str, String);

/// A policy, looked at.
struct Resolved {
    /// What it comes to, or why nothing is sent to its targets.
    tls: Result<BackendTls, Problem>,
    /// References that do not resolve.
    unresolved: Vec<Problem>,
}

/// How the port is spoken to; `None`: as its protocol says. The error names the policy.
pub(super) fn of_port(
    world: &World,
    service: &NamespacedName,
    port: &ServicePort,
) -> Option<Result<BackendTls, String>> {
    let policy = deciding(world, service, Some(&port.name).filter(|name| !name.is_empty()))?;
    let tls = resolve(world, policy).tls;
    Some(tls.map_err(|(_, message)| format!("{}: {message}", policy.object_ref())))
}

/// What is said of the policies with a target that a route of the Gateway, or a pool of one, refers to.
pub(super) fn reports(world: &World, gateway: &NamespacedName) -> BTreeMap<NamespacedName, PolicyReport> {
    let concerns = |policy: &&Arc<BackendTLSPolicy>| {
        let mut services = services(policy).map(|(service, _)| service);
        services.any(|service| world.gateways_referring_to_service(&service).any(|g| g.key() == *gateway))
    };
    let policies = world.backend_tls_policies.values().filter(concerns);
    policies.map(|policy| (policy.key(), report(world, policy))).collect()
}

/// The ConfigMaps with authorities that policies refer to.
pub(super) fn bundles(world: &World) -> Objects<ConfigMap> {
    let named = world.backend_tls_policies.values().flat_map(|policy| {
        let references = policy.spec.validation.ca_certificate_refs.iter();
        references.map(|reference| NamespacedName::new(&policy.metadata.namespace, &reference.name))
    });
    named.filter_map(|key| Some((key.clone(), world.config_maps.get(&key)?.clone()))).collect()
}

/// The Services that a policy targets, with the port's name.
fn services(policy: &BackendTLSPolicy) -> impl Iterator<Item = (NamespacedName, Option<&String>)> {
    let targets = policy.spec.target_refs.iter().filter(|target| is_service(target));
    targets.map(|target| {
        let service = NamespacedName::new(&policy.metadata.namespace, &target.name);
        (service, target.section_name.as_ref().filter(|name| !name.is_empty()))
    })
}

fn is_service(target: &PolicyTarget) -> bool {
    (target.group.as_str(), target.kind.as_str()) == (group::CORE, "Service")
}

/// The policy that takes precedence for a port: one of the port before one of the whole Service, then the oldest, then
/// the first by name.
fn deciding<'w>(
    world: &'w World,
    service: &'w NamespacedName,
    port: Option<&String>,
) -> Option<&'w Arc<BackendTLSPolicy>> {
    let first = |section: Option<&String>| first_of(world, service, section);
    port.and_then(|port| first(Some(port))).or_else(|| first(None))
}

/// The policy that takes precedence among those of one target.
fn first_of<'w>(
    world: &'w World,
    service: &'w NamespacedName,
    section: Option<&String>,
) -> Option<&'w Arc<BackendTLSPolicy>> {
    let targets =
        |policy: &&Arc<BackendTLSPolicy>| services(policy).any(|(s, n)| s == *service && n == section);
    let policies = world.tls_policies_in(&service.namespace).filter(targets);
    policies.min_by_key(|policy| (Age::of(&policy.metadata), policy.key()))
}

fn resolve(world: &World, policy: &BackendTLSPolicy) -> Resolved {
    let mut unresolved = Vec::new();
    let tls = authorities(world, policy, &mut unresolved).and_then(|authorities| {
        let server_name = policy.spec.validation.hostname.clone();
        Ok(BackendTls { authorities, names: names(policy)?, server_name })
    });
    Resolved { tls, unresolved }
}

fn authorities(
    world: &World,
    policy: &BackendTLSPolicy,
    unresolved: &mut Vec<Problem>,
) -> Result<Authorities, Problem> {
    let validation = &policy.spec.validation;
    if validation.ca_certificate_refs.is_empty() {
        return match validation.well_known_ca_certificates.as_deref() {
            Some("System") => Ok(Authorities::System),
            other => Err((
                "Invalid",
                format!(
                    "spec.validation.wellKnownCACertificates: {:?} is not known; use System, or caCertificateRefs",
                    other.unwrap_or_default()
                ),
            )),
        };
    }
    let mut bundle = String::new();
    for (index, reference) in validation.ca_certificate_refs.iter().enumerate() {
        match certificates(world, &policy.metadata.namespace, reference) {
            Ok(pem) => {
                bundle.push_str(pem.trim_end());
                bundle.push('\n');
            }
            Err((reason, message)) => {
                unresolved.push((reason, format!("spec.validation.caCertificateRefs[{index}]: {message}")));
            }
        }
    }
    if bundle.is_empty() {
        let messages = condition::sentences(unresolved.iter().map(|(_, message)| message));
        return Err(("NoValidCACertificate", messages));
    }
    Ok(Authorities::Bundle(bundle.into()))
}

/// The authorities in an object, PEM.
fn certificates<'w>(world: &'w World, namespace: &str, reference: &LocalRef) -> Result<&'w str, Problem> {
    if (reference.group.as_str(), reference.kind.as_str()) != (group::CORE, "ConfigMap") {
        let LocalRef { group, kind, .. } = reference;
        return Err((
            "InvalidKind",
            format!("kind {kind:?} of group {group:?} is not read; name a ConfigMap"),
        ));
    }
    let key = NamespacedName::new(namespace, &reference.name);
    let invalid = |message: String| ("InvalidCACertificateRef", message);
    let Some(map) = world.config_maps.get(&key) else {
        return Err(invalid(format!("ConfigMap {key} does not exist; create it")));
    };
    let Some(pem) = map.data.get("ca.crt") else {
        return Err(invalid(format!("ConfigMap {key} has no key ca.crt; put the authorities there, PEM")));
    };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(pem),
        _ => Err(invalid(format!("ConfigMap {key} has no PEM certificate in ca.crt; correct it"))),
    }
}

fn names(policy: &BackendTLSPolicy) -> Result<Vec<BackendName>, Problem> {
    let validation = &policy.spec.validation;
    if validation.subject_alt_names.is_empty() {
        return Ok(vec![BackendName::Host(validation.hostname.clone())]);
    }
    let name = |(index, name): (usize, &crate::api::SubjectAltName)| match name.kind.as_str() {
        "Hostname" => Ok(BackendName::Host(name.hostname.clone())),
        "URI" => Ok(BackendName::Uri(name.uri.clone())),
        other => Err((
            "Invalid",
            format!(
                "spec.validation.subjectAltNames[{index}].type: {other:?} is not known; use Hostname or URI"
            ),
        )),
    };
    validation.subject_alt_names.iter().enumerate().map(name).collect()
}

fn report(world: &World, policy: &BackendTLSPolicy) -> PolicyReport {
    let Resolved { tls, unresolved } = resolve(world, policy);
    let targets = &policy.spec.target_refs;
    let unused: Vec<Problem> = targets.iter().enumerate().filter_map(|t| unused(world, policy, t)).collect();
    let conflict = unused.iter().find(|(reason, _)| *reason == "Conflicted");
    let accepted = match (tls, conflict) {
        (_, Some((reason, message))) => condition::no("Accepted", reason, message.clone()),
        (Err((reason, message)), None) => {
            let message = format!("{message}; until then nothing is sent to the targets");
            condition::no("Accepted", reason, message)
        }
        (Ok(_), None) if unused.len() == targets.len() => {
            let messages = unused.iter().map(|(_, message)| message);
            condition::no(
                "Accepted",
                unused.first().map_or("Invalid", |u| u.0),
                condition::sentences(messages),
            )
        }
        (Ok(_), None) => {
            let used = "targets are spoken to over TLS, and verified";
            let messages = std::iter::once(used).chain(unused.iter().map(|(_, message)| message.as_str()));
            condition::yes("Accepted", "Accepted", condition::sentences(messages))
        }
    };
    let resolved = match unresolved.first() {
        Some((reason, _)) => {
            let messages = condition::sentences(unresolved.iter().map(|(_, message)| message));
            condition::no("ResolvedRefs", reason, messages)
        }
        None => condition::yes("ResolvedRefs", "ResolvedRefs", "all references resolve"),
    };
    PolicyReport { generation: policy.metadata.generation, conditions: vec![accepted, resolved] }
}

/// Why the policy decides nothing about a target.
fn unused(
    world: &World,
    policy: &BackendTLSPolicy,
    (index, target): (usize, &PolicyTarget),
) -> Option<Problem> {
    let problem = |reason, message: String| Some((reason, format!("spec.targetRefs[{index}]: {message}")));
    if !is_service(target) {
        let PolicyTarget { group, kind, .. } = target;
        return problem("Invalid", format!("kind {kind:?} of group {group:?} is not served; name a Service"));
    }
    let key = NamespacedName::new(&policy.metadata.namespace, &target.name);
    let Some(service) = world.services.get(&key) else {
        return problem("TargetNotFound", format!("Service {key} does not exist"));
    };
    let section = target.section_name.as_ref().filter(|name| !name.is_empty());
    if let Some(name) = section.filter(|name| !service.spec.ports.iter().any(|port| port.name == **name)) {
        return problem("TargetNotFound", format!("sectionName: Service {key} has no port named {name:?}"));
    }
    if world.pools_with_picker(&key).any(|pool| pool::is_managed(pool)) {
        return problem(
            "Invalid",
            format!(
                "Service {key} is that of a managed picker, which is verified already; remove the policy"
            ),
        );
    }
    let first = first_of(world, &key, section)?;
    (first.key() != policy.key()).then(|| {
        let message = format!(
            "spec.targetRefs[{index}]: {} targets Service {key}, too, and is older",
            first.object_ref()
        );
        ("Conflicted", message)
    })
}
