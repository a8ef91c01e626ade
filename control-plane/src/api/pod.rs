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
    /// Whether the Pod is said to be ready to serve.
    pub fn is_ready(&self) -> bool {
        self.has("Ready")
    }

    /// Whether all that makes a Pod ready is so: its containers, and the conditions of its readiness gates. A kubelet
    /// that finds this says `Ready` in the same breath, so where `Ready` is missing all the same, somebody else took it
    /// away: the cluster's node controller, of a node that it did not hear of.
    pub fn is_presumed_ready(&self) -> bool {
        self.has("ContainersReady")
            && self.spec.readiness_gates.iter().all(|gate| self.has(&gate.condition_type))
    }

    fn has(&self, condition: &str) -> bool {
        self.status.conditions.iter().any(|c| c.kind == condition && c.status == "True")
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
    /// Conditions beside the containers' that the Pod's readiness depends on.
    pub readiness_gates: Vec<ReadinessGate>,
}

/// A condition that a Pod's readiness depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadinessGate {
    /// The condition's type.
    pub condition_type: String,
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
