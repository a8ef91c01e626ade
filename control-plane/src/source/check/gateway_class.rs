//! `GatewayClass`.

use super::{
    Findings,
    pattern::{CONTROLLER, KIND, SUBDOMAIN, api_group, controller, kind},
};
use crate::{
    api::{GatewayClass, ParametersRef},
    source::field::Field,
};

pub(super) fn check(class: &GatewayClass, findings: &mut Findings) {
    let spec = Field::ROOT.name("spec");
    findings.pattern(spec.name("controllerName"), &class.spec.controller_name, controller, CONTROLLER);
    if let Some(description) = &class.spec.description {
        findings.length(spec.name("description"), description, 0, 64);
    }
    if let Some(parameters) = &class.spec.parameters_ref {
        check_parameters(spec.name("parametersRef"), parameters, findings);
    }
}

/// A reference to parameters, of a class or a Gateway.
pub(super) fn check_parameters(field: Field<'_>, parameters: &ParametersRef, findings: &mut Findings) {
    findings.pattern(field.name("group"), &parameters.group, api_group, SUBDOMAIN);
    findings.pattern(field.name("kind"), &parameters.kind, kind, KIND);
    findings.length(field.name("name"), &parameters.name, 1, 253);
}
