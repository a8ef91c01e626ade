//! `InferencePool`, by its CRD.

use std::collections::BTreeSet;

use super::{
    Findings,
    pattern::{KIND, LABEL_VALUE, SUBDOMAIN, api_group, kind, label_value},
};
use crate::{
    api::{EndpointPickerRef, InferencePool, PoolRef},
    source::field::Field,
};

pub(super) fn check(pool: &InferencePool, findings: &mut Findings) {
    let spec = Field::ROOT.name("spec");
    let selector = spec.name("selector");
    let labels = selector.name("matchLabels");
    findings.count(labels, pool.spec.selector.match_labels.len(), 1, 64);
    for (key, value) in &pool.spec.selector.match_labels {
        findings.pattern(labels.key(key), value, label_value, LABEL_VALUE);
    }
    let ports = spec.name("targetPorts");
    findings.count(ports, pool.spec.target_ports.len(), 1, 8);
    let mut seen = BTreeSet::new();
    for (i, port) in pool.spec.target_ports.iter().enumerate() {
        let item = ports.at(i);
        findings.port(item.name("number"), port.number);
        if !seen.insert(port.number) {
            findings.add(item.name("number"), format!("port {} is there twice", port.number), "remove one");
        }
    }
    if let Some(picker) = &pool.spec.endpoint_picker_ref {
        check_picker(spec.name("endpointPickerRef"), picker, findings);
    }
}

fn check_picker(field: Field<'_>, picker: &EndpointPickerRef, findings: &mut Findings) {
    findings.pattern(field.name("group"), &picker.group, api_group, SUBDOMAIN);
    findings.pattern(field.name("kind"), &picker.kind, kind, KIND);
    findings.length(field.name("name"), &picker.name, 1, 253);
    match picker.port {
        Some(port) => findings.port(field.name("port").name("number"), port.number),
        None if picker.kind == "Service" => {
            let remedy = "give the Service's port, as in `port: {number: 9002}`";
            findings.add(field.name("port"), "is required when kind is Service (the default)", remedy);
        }
        None => {}
    }
}

/// The pool of an objective, rewrite or model.
pub(super) fn check_pool_ref(field: Field<'_>, pool: &PoolRef, findings: &mut Findings) {
    findings.pattern(field.name("group"), &pool.group, api_group, SUBDOMAIN);
    findings.pattern(field.name("kind"), &pool.kind, kind, KIND);
    findings.length(field.name("name"), &pool.name, 1, 253);
}
