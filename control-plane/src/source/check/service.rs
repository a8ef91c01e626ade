//! `Service`.

use std::collections::BTreeSet;

use super::Findings;
use crate::{
    api::{Service, TargetPort},
    source::field::Field,
};

pub(super) fn check(service: &Service, findings: &mut Findings) {
    let spec = Field::ROOT.name("spec");
    let ports = spec.name("ports");
    let mut names = BTreeSet::new();
    for (i, port) in service.spec.ports.iter().enumerate() {
        let item = ports.at(i);
        findings.port(item.name("port"), port.port);
        if let Some(TargetPort::Number(number)) = port.target_port {
            findings.port(item.name("targetPort"), number);
        }
        if service.spec.ports.len() > 1 && port.name.is_empty() {
            findings.add(item.name("name"), "is required when there are several ports", "add it");
        } else if !names.insert(&port.name) {
            findings.add(item.name("name"), format!("{:?} is there twice", port.name), "rename one");
        }
    }
}
