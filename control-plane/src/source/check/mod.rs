//! What an API server refuses and the types let through: limits, patterns and rules of the CRDs.
//!
//! One module per kind, each a pure walk that adds [`Finding`]s. Words of closed enumerations are not checked
//! here: the types keep unknown words, and resolving reports them on the object's status.

mod backend_tls_policy;
mod duration;
mod endpoint_slice;
mod filter;
mod gateway;
mod gateway_class;
mod gateway_parameters;
mod http_route;
mod inference_model;
mod inference_model_rewrite;
mod inference_objective;
mod inference_pool;
mod metadata;
mod path;
mod pattern;
mod pod;
mod reference_grant;
mod route_match;
mod secret;
mod service;

use super::{
    AnyObject,
    field::{Field, OwnedField},
};

/// One thing that the API forbids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The field.
    pub(crate) field: OwnedField,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) remedy: String,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a finding.
    fn add(&mut self, field: Field<'_>, message: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { field: field.steps(), message: message.into(), remedy: remedy.into() });
    }

    /// Adds a finding unless `ok`. `message` says what must be.
    fn require(&mut self, ok: bool, field: Field<'_>, message: &str) {
        if !ok {
            self.add(field, message, "");
        }
    }

    /// A list's or map's number of entries.
    fn count(&mut self, field: Field<'_>, count: usize, min: usize, max: usize) {
        if count < min {
            self.add(field, "must not be empty", format!("give {min} to {max} entries"));
        } else if count > max {
            self.add(
                field,
                format!("has {count} entries, and {max} are allowed"),
                "split it over more objects",
            );
        }
    }

    /// A number's range.
    fn range(&mut self, field: Field<'_>, value: impl Into<i64>, min: i64, max: i64) {
        let value = value.into();
        if !(min..=max).contains(&value) {
            self.add(field, format!("{value} is out of range"), format!("use a number from {min} to {max}"));
        }
    }

    /// A port.
    fn port(&mut self, field: Field<'_>, port: u16) {
        self.range(field, port, 1, 65535);
    }

    /// A text's length in characters.
    fn length(&mut self, field: Field<'_>, text: &str, min: usize, max: usize) {
        let length = text.chars().count();
        if length < min {
            self.add(field, "must not be empty", "");
        } else if length > max {
            self.add(field, format!("has {length} characters, and {max} are allowed"), "shorten it");
        }
    }

    /// A text's pattern; `what` names it, as in "a DNS label (…)".
    fn pattern(&mut self, field: Field<'_>, text: &str, matches: fn(&str) -> bool, what: &str) {
        if !matches(text) {
            self.add(field, format!("{text:?} is not {what}"), "");
        }
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Checks an object whose defaults have been filled in.
pub(crate) fn check(object: &AnyObject, findings: &mut Findings) {
    metadata::check(object.kind(), object.meta(), findings);
    match object {
        AnyObject::GatewayClass(class) => gateway_class::check(class, findings),
        AnyObject::Gateway(gateway) => gateway::check(gateway, findings),
        AnyObject::HTTPRoute(route) => http_route::check(route, findings),
        AnyObject::ReferenceGrant(grant) => reference_grant::check(grant, findings),
        AnyObject::BackendTLSPolicy(policy) => backend_tls_policy::check(policy, findings),
        AnyObject::InferencePool(pool) => inference_pool::check(pool, findings),
        AnyObject::InferenceObjective(objective) => inference_objective::check(objective, findings),
        AnyObject::InferenceModelRewrite(rewrite) => inference_model_rewrite::check(rewrite, findings),
        AnyObject::InferenceModel(model) => inference_model::check(model, findings),
        AnyObject::GatewayParameters(parameters) => gateway_parameters::check(parameters, findings),
        AnyObject::Service(service) => service::check(service, findings),
        AnyObject::EndpointSlice(slice) => endpoint_slice::check(slice, findings),
        AnyObject::Pod(pod) => pod::check(pod, findings),
        AnyObject::Secret(secret) => secret::check(secret, findings),
        AnyObject::Namespace(_) | AnyObject::Node(_) | AnyObject::ConfigMap(_) => {}
    }
}

#[cfg(test)]
mod tests;
