//! `EndpointSlice`.

use serde::{Deserialize, Serialize};

use super::{NamespacedName, ObjectMeta, meta::object};

/// A slice of a Service's endpoints; the label `kubernetes.io/service-name` names the Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSlice {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// `IPv4`, `IPv6` or `FQDN` (the last is ignored).
    pub address_type: String,
    /// Endpoints.
    #[serde(default)]
    pub endpoints: Vec<SliceEndpoint>,
    /// Ports that every endpoint of the slice serves.
    #[serde(default)]
    pub ports: Vec<SlicePort>,
}

impl EndpointSlice {
    /// The Service that the slice belongs to.
    pub fn service(&self) -> Option<NamespacedName> {
        let name = self.metadata.labels.get("kubernetes.io/service-name")?;
        Some(NamespacedName::new(&self.metadata.namespace, name))
    }
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceEndpoint {
    /// Addresses; the first is used, as kube-proxy does.
    pub addresses: Vec<String>,
    /// Conditions.
    #[serde(default)]
    pub conditions: SliceConditions,
}

/// An endpoint's conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SliceConditions {
    /// Unknown counts as ready.
    pub ready: Option<bool>,
    /// Unknown follows `ready`.
    pub serving: Option<bool>,
    /// The Pod is being deleted.
    pub terminating: Option<bool>,
}

/// One port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SlicePort {
    /// Name, equal to that of the Service's port.
    pub name: Option<String>,
    /// Number; absent means all ports, which is not used here.
    pub port: Option<u16>,
    /// `TCP` by default.
    pub protocol: Option<String>,
    /// Protocol spoken on the port.
    pub app_protocol: Option<String>,
}

object!(EndpointSlice);
