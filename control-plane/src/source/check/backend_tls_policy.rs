//! `BackendTLSPolicy`.

use super::{
    Findings,
    pattern::{HOSTNAME, KIND, PRECISE_HOSTNAME, SUBDOMAIN, api_group, hostname, kind, precise_hostname},
};
use crate::{
    api::{BackendTLSPolicy, BackendTLSValidation, PolicyTarget},
    source::field::Field,
};

pub(super) fn check(policy: &BackendTLSPolicy, findings: &mut Findings) {
    let spec = Field::ROOT.name("spec");
    let targets = spec.name("targetRefs");
    findings.count(targets, policy.spec.target_refs.len(), 1, 16);
    for (i, target) in policy.spec.target_refs.iter().enumerate() {
        let item = targets.at(i);
        findings.pattern(item.name("group"), &target.group, api_group, SUBDOMAIN);
        findings.pattern(item.name("kind"), &target.kind, kind, KIND);
        findings.length(item.name("name"), &target.name, 1, 253);
        distinct(&policy.spec.target_refs[..i], target, item, findings);
    }
    findings.count(spec.name("options"), policy.spec.options.len(), 0, 16);
    validation(&policy.spec.validation, spec.name("validation"), findings);
}

/// The same target twice needs two sections.
fn distinct(before: &[PolicyTarget], target: &PolicyTarget, field: Field<'_>, findings: &mut Findings) {
    let is_same = |other: &&PolicyTarget| {
        (&other.group, &other.kind, &other.name) == (&target.group, &target.kind, &target.name)
    };
    for other in before.iter().filter(is_same) {
        let (one, two) = (&other.section_name, &target.section_name);
        findings.require(
            one.is_some() && two.is_some() && one != two,
            field.name("sectionName"),
            "must be given, and differ, where targetRefs names a target more than once",
        );
    }
}

fn validation(validation: &BackendTLSValidation, field: Field<'_>, findings: &mut Findings) {
    let references = field.name("caCertificateRefs");
    findings.count(references, validation.ca_certificate_refs.len(), 0, 8);
    let well_known = validation.well_known_ca_certificates.as_deref().is_some_and(|name| !name.is_empty());
    findings.require(
        validation.ca_certificate_refs.is_empty() == well_known,
        references,
        "must be given, or wellKnownCACertificates, and not both",
    );
    findings.pattern(field.name("hostname"), &validation.hostname, precise_hostname, PRECISE_HOSTNAME);
    let names = field.name("subjectAltNames");
    findings.count(names, validation.subject_alt_names.len(), 0, 5);
    for (i, name) in validation.subject_alt_names.iter().enumerate() {
        let item = names.at(i);
        match name.kind.as_str() {
            "Hostname" => {
                findings.pattern(item.name("hostname"), &name.hostname, hostname, HOSTNAME);
                findings.require(name.uri.is_empty(), item.name("uri"), "must be empty for a Hostname");
            }
            "URI" => {
                findings.require(name.uri.contains("://"), item.name("uri"), "must be a URI with its scheme");
                findings.require(name.hostname.is_empty(), item.name("hostname"), "must be empty for a URI");
            }
            // Resolving reports words that it does not know.
            _ => {}
        }
    }
}
