//! `InferencePool` v1 of the Gateway API Inference Extension.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, ObservedStatus, group, meta::object};

/// Pods that serve one model (and its adapters), with the endpoint picker that chooses among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InferencePool {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: InferencePoolSpec,
    /// Status as it was read.
    #[serde(default)]
    pub status: ObservedStatus,
}

/// An InferencePool's specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferencePoolSpec {
    /// The Pods, in the pool's own namespace.
    pub selector: PoolSelector,
    /// Ports; every (Pod, port) is one endpoint.
    pub target_ports: Vec<PortNumber>,
    /// Protocol of all ports.
    #[serde(default)]
    pub app_protocol: PoolAppProtocol,
    /// The picker; absent means plain load balancing.
    #[serde(default)]
    pub endpoint_picker_ref: Option<EndpointPickerRef>,
}

/// Labels that all must match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolSelector {
    /// Labels.
    pub match_labels: BTreeMap<String, String>,
}

/// A port number in an object of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortNumber {
    /// 1 to 65535.
    pub number: u16,
}

/// Protocol spoken by a pool's Pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PoolAppProtocol {
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "http")]
    Http,
    /// HTTP/2 over cleartext.
    #[serde(rename = "kubernetes.io/h2c")]
    H2c,
    /// A word this version does not know.
    #[serde(untagged)]
    Unknown(String),
}

/// A reference to the endpoint picker's Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointPickerRef {
    /// API group; core by default.
    #[serde(default)]
    pub group: String,
    /// Kind; `Service` by default.
    #[serde(default = "EndpointPickerRef::default_kind")]
    pub kind: String,
    /// Name, in the pool's namespace.
    pub name: String,
    /// Port of the Service (not the target port).
    #[serde(default)]
    pub port: Option<PortNumber>,
    /// What happens when the picker does not answer.
    #[serde(default)]
    pub failure_mode: FailureMode,
}

impl EndpointPickerRef {
    fn default_kind() -> String {
        "Service".into()
    }
}

/// What happens to requests while the picker does not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FailureMode {
    /// The proxy picks an endpoint itself.
    FailOpen,
    /// The request fails.
    #[default]
    FailClose,
    /// A word this version does not know: treated as `FailClose`.
    #[serde(untagged)]
    Unknown(String),
}

/// A reference to an InferencePool in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRef {
    /// API group.
    #[serde(default = "PoolRef::default_group")]
    pub group: String,
    /// Kind.
    #[serde(default = "PoolRef::default_kind")]
    pub kind: String,
    /// Name.
    pub name: String,
}

impl PoolRef {
    fn default_group() -> String {
        group::INFERENCE.into()
    }

    fn default_kind() -> String {
        "InferencePool".into()
    }
}

object!(InferencePool);
