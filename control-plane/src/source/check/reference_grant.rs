//! `ReferenceGrant`.

use super::{
    Findings,
    pattern::{KIND, LABEL, SUBDOMAIN, api_group, dns_label, kind},
};
use crate::{api::ReferenceGrant, source::field::Field};

pub(super) fn check(grant: &ReferenceGrant, findings: &mut Findings) {
    let spec = Field::ROOT.name("spec");
    let from = spec.name("from");
    findings.count(from, grant.spec.from.len(), 1, 16);
    for (i, entry) in grant.spec.from.iter().enumerate() {
        let item = from.at(i);
        findings.pattern(item.name("group"), &entry.group, api_group, SUBDOMAIN);
        findings.pattern(item.name("kind"), &entry.kind, kind, KIND);
        findings.pattern(item.name("namespace"), &entry.namespace, dns_label, LABEL);
    }
    let to = spec.name("to");
    findings.count(to, grant.spec.to.len(), 1, 16);
    for (i, entry) in grant.spec.to.iter().enumerate() {
        let item = to.at(i);
        findings.pattern(item.name("group"), &entry.group, api_group, SUBDOMAIN);
        findings.pattern(item.name("kind"), &entry.kind, kind, KIND);
        if let Some(name) = &entry.name {
            findings.length(item.name("name"), name, 0, 253);
        }
    }
}
