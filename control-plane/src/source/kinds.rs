//! Which (apiVersion, kind) pairs are read, and what to say of the others.

use crate::api::{Kind, group};

/// What to do with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Read it as an object of this kind.
    Read {
        /// The kind.
        kind: Kind,
        /// The group has been superseded: an object of the same name in the newer group wins.
        superseded: bool,
    },
    /// A list: read its items.
    List,
    /// Not used here.
    Unused,
    /// A kind that is read, in a version that is not.
    Refused {
        /// What is wrong.
        message: String,
        /// What to do.
        remedy: String,
    },
}

/// The API versions under which a kind is read, for people.
fn versions(kind: Kind) -> &'static str {
    match kind {
        Kind::GatewayClass | Kind::Gateway | Kind::HTTPRoute => "gateway.networking.k8s.io/v1 or v1beta1",
        Kind::ReferenceGrant => "gateway.networking.k8s.io/v1beta1 or v1",
        Kind::BackendTLSPolicy => "gateway.networking.k8s.io/v1",
        Kind::InferencePool => "inference.networking.k8s.io/v1",
        Kind::InferenceObjective | Kind::InferenceModelRewrite => {
            "llm-d.ai/v1alpha2 or inference.networking.x-k8s.io/v1alpha2"
        }
        Kind::InferenceModel => "inference.networking.x-k8s.io/v1alpha2",
        Kind::GatewayParameters => "signalbox.dev/v1alpha1",
        Kind::EndpointSlice => "discovery.k8s.io/v1",
        Kind::Namespace | Kind::Service | Kind::Pod | Kind::Node | Kind::Secret | Kind::ConfigMap => "v1",
    }
}

/// The kinds of one family of groups, by name.
fn kind_named(api_group: &str, name: &str) -> Option<Kind> {
    let kinds: &[Kind] = match api_group {
        group::GATEWAY => &[
            Kind::GatewayClass,
            Kind::Gateway,
            Kind::HTTPRoute,
            Kind::ReferenceGrant,
            Kind::BackendTLSPolicy,
        ],
        group::INFERENCE | group::INFERENCE_X | group::LLM_D => &[
            Kind::InferencePool,
            Kind::InferenceObjective,
            Kind::InferenceModelRewrite,
            Kind::InferenceModel,
        ],
        group::SIGNALBOX => &[Kind::GatewayParameters],
        group::DISCOVERY => &[Kind::EndpointSlice],
        group::CORE => {
            &[Kind::Namespace, Kind::Service, Kind::Pod, Kind::Node, Kind::Secret, Kind::ConfigMap]
        }
        _ => &[],
    };
    kinds.iter().copied().find(|kind| kind.as_str() == name)
}

/// Whether objects of `kind` are read under this group and version.
fn is_read(kind: Kind, api_group: &str, version: &str) -> bool {
    match kind {
        Kind::GatewayClass | Kind::Gateway | Kind::HTTPRoute | Kind::ReferenceGrant => is_v1(version),
        Kind::InferencePool => (api_group, version) == (group::INFERENCE, "v1"),
        Kind::InferenceObjective | Kind::InferenceModelRewrite => {
            matches!((api_group, version), (group::LLM_D | group::INFERENCE_X, "v1alpha2"))
        }
        Kind::InferenceModel => (api_group, version) == (group::INFERENCE_X, "v1alpha2"),
        Kind::GatewayParameters => version == "v1alpha1",
        _ => version == "v1",
    }
}

/// `v1`, and the betas and alphas before it.
fn is_v1(version: &str) -> bool {
    let Some(rest) = version.strip_prefix("v1") else { return false };
    rest.is_empty() || rest.starts_with("beta") || rest.starts_with("alpha")
}

/// Decides what to do with a document.
pub(crate) fn classify(api_version: &str, kind_name: &str) -> Reading {
    let (api_group, version) = api_version.split_once('/').unwrap_or((group::CORE, api_version));
    if api_group == group::CORE && version == "v1" && kind_name == "List" {
        return Reading::List;
    }
    let item = kind_name.strip_suffix("List").and_then(|item| kind_named(api_group, item));
    if item.is_some() {
        return Reading::List;
    }
    let Some(kind) = kind_named(api_group, kind_name) else { return Reading::Unused };
    if is_read(kind, api_group, version) {
        let superseded = matches!(kind, Kind::InferenceObjective | Kind::InferenceModelRewrite)
            && api_group == group::INFERENCE_X;
        return Reading::Read { kind, superseded };
    }
    if kind == Kind::InferencePool && api_group == group::INFERENCE_X {
        return Reading::Refused {
            message: format!("InferencePool {api_version} is retired"),
            remedy: "migrate it to inference.networking.k8s.io/v1: selector becomes selector.matchLabels, \
                     targetPortNumber becomes targetPorts[].number and extensionRef becomes endpointPickerRef"
                .into(),
        };
    }
    Reading::Refused {
        message: format!("{kind} is not read under {api_version}"),
        remedy: format!("write apiVersion: {}", versions(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind) -> Reading {
        Reading::Read { kind, superseded: false }
    }

    #[test]
    fn versions_and_groups() {
        let older = |kind| Reading::Read { kind, superseded: true };
        let cases = [
            ("gateway.networking.k8s.io/v1", "Gateway", read(Kind::Gateway)),
            ("gateway.networking.k8s.io/v1beta1", "HTTPRoute", read(Kind::HTTPRoute)),
            ("gateway.networking.k8s.io/v1alpha2", "ReferenceGrant", read(Kind::ReferenceGrant)),
            ("inference.networking.k8s.io/v1", "InferencePool", read(Kind::InferencePool)),
            ("llm-d.ai/v1alpha2", "InferenceObjective", read(Kind::InferenceObjective)),
            ("inference.networking.x-k8s.io/v1alpha2", "InferenceObjective", older(Kind::InferenceObjective)),
            (
                "inference.networking.x-k8s.io/v1alpha2",
                "InferenceModelRewrite",
                older(Kind::InferenceModelRewrite),
            ),
            ("inference.networking.x-k8s.io/v1alpha2", "InferenceModel", read(Kind::InferenceModel)),
            ("signalbox.dev/v1alpha1", "GatewayParameters", read(Kind::GatewayParameters)),
            ("v1", "Pod", read(Kind::Pod)),
            ("discovery.k8s.io/v1", "EndpointSlice", read(Kind::EndpointSlice)),
            ("v1", "List", Reading::List),
            ("gateway.networking.k8s.io/v1", "HTTPRouteList", Reading::List),
            ("apps/v1", "Deployment", Reading::Unused),
            ("networking.istio.io/v1", "Gateway", Reading::Unused),
            ("serving.knative.dev/v1", "Service", Reading::Unused),
            ("gateway.networking.k8s.io/v1", "GRPCRoute", Reading::Unused),
            ("llm-d.ai/v1alpha1", "EndpointPickerConfig", Reading::Unused),
        ];
        for (api_version, kind, expected) in cases {
            assert_eq!(classify(api_version, kind), expected, "{api_version} {kind}");
        }
    }

    #[test]
    fn wrong_versions_say_which_are_read() {
        for (api_version, kind, remedy) in [
            ("gateway.networking.k8s.io/v2", "Gateway", "gateway.networking.k8s.io/v1"),
            ("gateway.networking.k8s.io/v10", "Gateway", "gateway.networking.k8s.io/v1"),
            (
                "inference.networking.x-k8s.io/v1alpha2",
                "InferencePool",
                "migrate it to inference.networking.k8s.io/v1",
            ),
            ("inference.networking.k8s.io/v1", "InferenceObjective", "llm-d.ai/v1alpha2"),
            ("discovery.k8s.io/v1beta1", "EndpointSlice", "discovery.k8s.io/v1"),
            ("signalbox.dev/v1", "GatewayParameters", "signalbox.dev/v1alpha1"),
            ("v2", "Service", "apiVersion: v1"),
        ] {
            let Reading::Refused { remedy: said, .. } = classify(api_version, kind) else {
                panic!("{api_version} {kind} is not refused");
            };
            assert!(said.contains(remedy), "{api_version} {kind}: {said}");
        }
    }
}
