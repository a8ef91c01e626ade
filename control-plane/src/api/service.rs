//! `Service`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, meta::object};

/// A Service; its endpoints come from EndpointSlices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Specification.
    #[serde(default)]
    pub spec: ServiceSpec,
}

/// The fields of a Service that are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// Type; ExternalName is refused as a backend.
    #[serde(rename = "type")]
    pub kind: ServiceType,
    /// Selector of the Service's Pods.
    pub selector: BTreeMap<String, String>,
    /// Ports.
    pub ports: Vec<ServicePort>,
}

/// A Service's type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words of the API")]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
    ExternalName,
    #[serde(untagged)]
    Unknown(String),
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Name; empty when the Service has one port. EndpointSlice ports bear the same name.
    #[serde(default)]
    pub name: String,
    /// Port of the Service.
    pub port: u16,
    /// Port of the Pods; equal to `port` when absent.
    #[serde(default)]
    pub target_port: Option<TargetPort>,
    /// `TCP` by default.
    #[serde(default)]
    pub protocol: Option<String>,
    /// Protocol spoken on the port.
    #[serde(default)]
    pub app_protocol: Option<AppProtocol>,
}

/// A port number or a name of a container port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetPort {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

/// The application protocols of GEP-1911 that matter here; others are kept by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppProtocol {
    /// HTTP/2 over cleartext.
    #[serde(rename = "kubernetes.io/h2c")]
    H2c,
    /// WebSocket over cleartext.
    #[serde(rename = "kubernetes.io/ws")]
    Ws,
    /// WebSocket over TLS.
    #[serde(rename = "kubernetes.io/wss")]
    Wss,
    /// Any other word, `http`, `https`, `grpc`, … included.
    #[serde(untagged)]
    Other(String),
}

object!(Service);
