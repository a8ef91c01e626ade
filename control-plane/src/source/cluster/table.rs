//! Which resources are watched: a kind is one line here, and one more for every other API group that has it.

use super::{served::Served, trim::Extent};
use crate::api::{Kind, group};

/// Where objects of a kind are found in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// The kind they are read as.
    pub(super) kind: Kind,
    /// API group.
    pub(super) group: &'static str,
    /// Name in URLs, RBAC rules and CRD names.
    pub(super) plural: &'static str,
    /// Versions that are read, the preferred one first.
    pub(super) versions: &'static [&'static str],
    /// Whether a CustomResourceDefinition brings it: it may be absent, and come and go.
    pub(super) is_custom: bool,
    /// Another group has superseded this one: an object of the same name there wins.
    pub(super) superseded: bool,
    /// Field selector: which objects are asked for.
    pub(super) fields: Option<&'static str>,
    /// What of an object is kept.
    pub(super) extent: Extent,
}

const fn custom(
    kind: Kind,
    group: &'static str,
    plural: &'static str,
    versions: &'static [&'static str],
) -> Resource {
    Resource {
        kind,
        group,
        plural,
        versions,
        is_custom: true,
        superseded: false,
        fields: None,
        extent: Extent::Whole,
    }
}

const fn builtin(kind: Kind, group: &'static str, plural: &'static str, extent: Extent) -> Resource {
    let resource = custom(kind, group, plural, &["v1"]);
    Resource { is_custom: false, extent, ..resource }
}

impl Resource {
    const fn superseded(self) -> Self {
        Self { superseded: true, ..self }
    }

    const fn only(self, fields: &'static str) -> Self {
        Self { fields: Some(fields), ..self }
    }

    /// `pods`, or `httproutes.gateway.networking.k8s.io`: the name of its CustomResourceDefinition, if it has one.
    pub(super) fn name(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The version to watch; `Err` says why there is none, with the versions that are served and not read.
    pub(super) fn version<'s>(&self, served: &'s Served) -> Result<&'static str, &'s [String]> {
        if !self.is_custom {
            return Ok(self.versions[0]);
        }
        let there = served.versions_of(&self.name());
        self.versions.iter().copied().find(|version| there.iter().any(|s| s == version)).ok_or(there)
    }
}

const V1: &[&str] = &["v1", "v1beta1"];
const ALPHA: &[&str] = &["v1alpha2"];
/// Pods that have ended are never endpoints, and clusters keep thousands of them.
const RUNNING: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// Certificates of listeners; Secrets of other types are never read.
const TLS: &str = "type=kubernetes.io/tls";

/// Every resource that is watched.
pub(super) const TABLE: &[Resource] = &[
    custom(Kind::GatewayClass, group::GATEWAY, "gatewayclasses", V1),
    custom(Kind::Gateway, group::GATEWAY, "gateways", V1),
    custom(Kind::HTTPRoute, group::GATEWAY, "httproutes", V1),
    custom(Kind::ReferenceGrant, group::GATEWAY, "referencegrants", V1),
    custom(Kind::BackendTLSPolicy, group::GATEWAY, "backendtlspolicies", &["v1"]),
    custom(Kind::InferencePool, group::INFERENCE, "inferencepools", &["v1"]),
    custom(Kind::InferenceObjective, group::LLM_D, "inferenceobjectives", ALPHA),
    custom(Kind::InferenceObjective, group::INFERENCE_X, "inferenceobjectives", ALPHA).superseded(),
    custom(Kind::InferenceModelRewrite, group::LLM_D, "inferencemodelrewrites", ALPHA),
    custom(Kind::InferenceModelRewrite, group::INFERENCE_X, "inferencemodelrewrites", ALPHA).superseded(),
    custom(Kind::InferenceModel, group::INFERENCE_X, "inferencemodels", ALPHA),
    custom(Kind::GatewayParameters, group::SIGNALBOX, "gatewayparameters", &["v1alpha1"]),
    builtin(Kind::Namespace, group::CORE, "namespaces", Extent::Read),
    builtin(Kind::Service, group::CORE, "services", Extent::Read),
    builtin(Kind::EndpointSlice, group::DISCOVERY, "endpointslices", Extent::Read),
    builtin(Kind::Pod, group::CORE, "pods", Extent::Read).only(RUNNING),
    builtin(Kind::Node, group::CORE, "nodes", Extent::Read),
    builtin(Kind::Secret, group::CORE, "secrets", Extent::Read).only(TLS),
    builtin(Kind::ConfigMap, group::CORE, "configmaps", Extent::Read),
];

/// A rule of a ClusterRole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RbacRule {
    /// API group; empty for core.
    pub group: &'static str,
    /// Plural name.
    pub resource: &'static str,
    /// Verbs.
    pub verbs: &'static [&'static str],
}

/// Where CustomResourceDefinitions are.
pub(super) const DEFINITIONS: (&str, &str) = ("apiextensions.k8s.io", "customresourcedefinitions");

/// What the source needs to be allowed, cluster-wide.
pub fn rbac_rules() -> Vec<RbacRule> {
    let watch = |resource: &Resource| RbacRule {
        group: resource.group,
        resource: resource.plural,
        verbs: &["list", "watch"],
    };
    let (group, resource) = DEFINITIONS;
    let mut rules: Vec<_> = TABLE.iter().map(watch).collect();
    rules.push(RbacRule { group, resource, verbs: &["get", "list", "watch"] });
    rules.sort();
    rules
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::source::kinds::{Reading, classify};

    #[test]
    fn every_version_is_one_that_manifests_may_have() {
        for resource in TABLE {
            for version in resource.versions {
                let group = resource.group;
                let api_version =
                    if group.is_empty() { (*version).to_owned() } else { format!("{group}/{version}") };
                let expected = Reading::Read { kind: resource.kind, superseded: resource.superseded };
                assert_eq!(classify(&api_version, resource.kind.as_str()), expected, "{api_version}");
            }
        }
    }

    #[test]
    fn every_kind_is_watched() {
        let watched: BTreeSet<_> = TABLE.iter().map(|resource| resource.kind).collect();
        assert_eq!(watched.len(), 17, "{watched:?}");
        let names: BTreeSet<_> = TABLE.iter().map(Resource::name).collect();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn the_preferred_version_that_is_served_is_watched() {
        let find = |name: &str| TABLE.iter().find(|r| r.name() == name).unwrap();
        let routes = find("httproutes.gateway.networking.k8s.io");
        let grants = find("referencegrants.gateway.networking.k8s.io");
        let pools = find("inferencepools.inference.networking.k8s.io");
        let cases: [(&Resource, &[&str], Option<&str>); 7] = [
            (routes, &["v1", "v1beta1"], Some("v1")),
            (routes, &["v1beta1", "v2"], Some("v1beta1")),
            (routes, &["v2"], None),
            (grants, &["v1beta1"], Some("v1beta1")),
            (pools, &["v1beta1"], None),
            (pools, &[], None),
            (find("pods"), &[], Some("v1")),
        ];
        for (resource, versions, expected) in cases {
            let mut served = Served::default();
            served.set(&resource.name(), versions.iter().map(|&v| v.to_owned()).collect());
            assert_eq!(resource.version(&served).ok(), expected, "{} {versions:?}", resource.name());
        }
    }

    #[test]
    fn rights_are_those_of_the_table() {
        let rules = rbac_rules();
        assert_eq!(rules.len(), TABLE.len() + 1);
        assert!(rules.contains(&RbacRule { group: "", resource: "pods", verbs: &["list", "watch"] }));
    }
}
