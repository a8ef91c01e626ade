//! `GatewayParameters`: how the infrastructure of Gateways is provisioned; Signalbox's own kind.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, PodSecurityContext, ResourceRequirements, SecurityContext, Toleration, TopologySpreadConstraint,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ObjectMeta, meta::object};

/// Parameters of a GatewayClass (defaults of its Gateways) or of one Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayParameters {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Specification.
    pub spec: GatewayParametersSpec,
}

object!(GatewayParameters);

/// How the infrastructure of Gateways is provisioned. A Gateway's own parameters win over its GatewayClass's, field
/// by field; a list or map is one field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayParametersSpec {
    /// Who runs the Envoys: `managed` (the default) or `external`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<InfrastructureMode>,
    /// The Envoys.
    pub envoy: EnvoyParameters,
    /// The Service in front of them.
    pub service: ServiceParameters,
}

/// Who runs the Envoys of a Gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum InfrastructureMode {
    /// Signalbox.
    #[default]
    Managed,
    /// Somebody else, with the bootstrap that `signalbox bootstrap` prints.
    External,
}

/// The Envoys of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvoyParameters {
    /// Pods; 2 by default. Not used with `autoscaling`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub replicas: Option<i32>,
    /// Image with `envoy` on its path; the installation's by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image: Option<String>,
    /// `Always`, `IfNotPresent` or `Never`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<PullPolicy>,
    /// Requests and limits. The memory limit bounds Envoy's heap, the CPU limit its worker threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Labels of the nodes to run on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints to tolerate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerations: Option<Vec<Toleration>>,
    /// Affinity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How Pods spread; over hosts and zones, softly, by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// Further labels of the Pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_labels: Option<BTreeMap<String, String>>,
    /// Further annotations of the Pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_annotations: Option<BTreeMap<String, String>>,
    /// Scaling by load instead of `replicas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Envoy's log level; `warning` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_level: Option<EnvoyLogLevel>,
    /// Longest time, in seconds, that a terminating Pod waits for running requests; 300 by default. It ends as soon
    /// as there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86400))]
    pub drain_seconds: Option<i64>,
    /// In place of the container's default security context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SecurityContext>,
    /// In place of the Pod's default security context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_security_context: Option<PodSecurityContext>,
}

/// Scaling by load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// Fewest Pods; 2 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_replicas: Option<i32>,
    /// Most Pods.
    #[schemars(range(min = 1))]
    pub max_replicas: i32,
    /// CPU utilisation to aim at, in percent of the requests; 70 by default.
    #[serde(default, rename = "targetCPUUtilization", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub target_cpu_utilization: Option<i32>,
}

/// The Service in front of the Envoys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceParameters {
    /// `LoadBalancer` by default.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<FleetServiceType>,
    /// `Local` keeps client addresses and saves a hop; `Cluster` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<TrafficPolicy>,
    /// Which load balancer implementation serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_class: Option<String>,
    /// CIDR ranges of clients that the load balancer admits; all by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_source_ranges: Option<Vec<String>>,
    /// Further annotations of the Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Further labels of the Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$inner:meta])* $word:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[expect(missing_docs, reason = "the words of the API")]
        pub enum $name { $($(#[$inner])* $word),* }

        impl $name {
            /// The word as written.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$word => stringify!($word)),* }
            }
        }
    };
}

words!(
    /// How clients reach the Envoys.
    FleetServiceType { #[default] LoadBalancer, NodePort, ClusterIP }
);
words!(
    /// Where traffic from outside may be sent.
    TrafficPolicy { #[default] Cluster, Local }
);
words!(
    /// When images are pulled.
    PullPolicy { #[default] IfNotPresent, Always, Never }
);

/// Envoy's log levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the words of Envoy")]
pub enum EnvoyLogLevel {
    Trace,
    Debug,
    Info,
    #[default]
    Warning,
    Error,
    Critical,
    Off,
}

impl EnvoyLogLevel {
    /// The word of `--log-level`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Off => "off",
        }
    }
}
