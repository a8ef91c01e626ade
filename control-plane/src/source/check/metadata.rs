//! Metadata of every kind.

use super::{
    Findings,
    pattern::{
        LABEL, LABEL_KEY, LABEL_VALUE, SUBDOMAIN, dns_1035_label, dns_label, dns_subdomain, label_key,
        label_value,
    },
};
use crate::{
    api::{Kind, ObjectMeta},
    source::field::Field,
};

/// Bytes of all annotations together.
const MAX_ANNOTATIONS: usize = 256 << 10;

pub(super) fn check(kind: Kind, meta: &ObjectMeta, findings: &mut Findings) {
    let root = Field::ROOT.name("metadata");
    name(kind, root.name("name"), &meta.name, findings);
    let namespace = root.name("namespace");
    if kind.is_namespaced() {
        findings.pattern(namespace, &meta.namespace, dns_label, LABEL);
    } else if !meta.namespace.is_empty() {
        findings.add(namespace, format!("a {kind} has no namespace"), "remove it");
    }
    let labels = root.name("labels");
    for (key, value) in &meta.labels {
        let label = labels.key(key);
        findings.pattern(label, key, label_key, LABEL_KEY);
        findings.pattern(label, value, label_value, LABEL_VALUE);
    }
    let annotations = root.name("annotations");
    for key in meta.annotations.keys() {
        findings.pattern(annotations.key(key), key, label_key, LABEL_KEY);
    }
    let bytes: usize = meta.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    findings.require(bytes <= MAX_ANNOTATIONS, annotations, "must not exceed 256 KiB together");
}

fn name(kind: Kind, field: Field<'_>, name: &str, findings: &mut Findings) {
    if name.is_empty() {
        findings.add(field, "is required", "give the object a name (generateName needs an API server)");
        return;
    }
    match kind {
        Kind::Service => findings.pattern(
            field,
            name,
            dns_1035_label,
            "a DNS label that starts with a letter: at most 63 lower-case letters, digits and `-`",
        ),
        Kind::Namespace => findings.pattern(field, name, dns_label, LABEL),
        _ => findings.pattern(field, name, dns_subdomain, SUBDOMAIN),
    }
}
