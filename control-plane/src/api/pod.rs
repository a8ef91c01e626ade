//! `Pod`: only what endpoints and accelerators need.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, meta::object};

/// A Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Specification.
    #[serde(default)]
    pub spec: PodSpec,
    /// Status.
    #[serde(default)]
    pub status: PodStatus,
}

impl Pod {
    /// Whether the Pod may be an endpoint: it has an address and is neither finished nor not Ready. A Pod that is
    /// being deleted is still an endpoint, a draining one.
    pub fn is_ready(&self) -> bool {
        self.status.conditions.iter().any(|c| c.kind == "Ready" && c.status == "True")
    }
}

/// The fields of a Pod's spec that are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The node it runs on; empty until scheduled.
    pub node_name: String,
    /// Containers, for their resource requests.
    pub containers: Vec<Container>,
}

/// A container's resources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Resources.
    pub resources: Resources,
}

/// Resource quantities by name, as written (`nvidia.com/gpu: "1"`); integers are accepted as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Requests.
    pub requests: BTreeMap<String, serde_json::Value>,
    /// Limits; extended resources may be given here alone.
    pub limits: BTreeMap<String, serde_json::Value>,
}

/// The fields of a Pod's status that are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// The Pod's address; absent until it has one.
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: Option<String>,
    /// Conditions.
    pub conditions: Vec<PodCondition>,
}

/// One condition of a Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodCondition {
    /// Type, for example `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
}

object!(Pod);
