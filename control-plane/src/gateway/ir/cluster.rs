//! Clusters: what a route forwards to.

use std::{fmt, sync::Arc};

use super::BackendTls;
use crate::api::{FailureMode, NamespacedName};

/// A cluster's name, also that of its endpoint set: `pool/<ns>/<name>`, `service/<ns>/<name>/<port>` or
/// `picker/<ns>/<service>/<port>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(Arc<str>);

impl ClusterName {
    /// The cluster of an InferencePool.
    pub fn pool(pool: &NamespacedName) -> Self {
        Self(format!("pool/{}/{}", pool.namespace, pool.name).into())
    }

    /// The cluster of a Service's port.
    pub fn service(service: &NamespacedName, port: u16) -> Self {
        Self(format!("service/{}/{}/{port}", service.namespace, service.name).into())
    }

    /// The cluster of an endpoint picker's Service.
    pub fn picker(service: &NamespacedName, port: u16) -> Self {
        Self(format!("picker/{}/{}/{port}", service.namespace, service.name).into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One cluster; its endpoints are an `EndpointSet` of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// Name.
    pub name: ClusterName,
    /// What it is.
    pub upstream: Upstream,
    /// What its endpoints speak.
    pub protocol: Protocol,
    /// How their certificates are verified, where a policy says so; a picker's [`PickerSecurity`] speaks of the rest.
    pub tls: Option<BackendTls>,
}

/// What a cluster is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Upstream {
    /// A port of a Service.
    Service(NamespacedName, u16),
    /// An InferencePool, with its picker unless it has none (then plain load balancing).
    Pool(NamespacedName, Option<Picker>),
    /// An endpoint picker itself.
    Picker(NamespacedName, u16, PickerSecurity),
}

impl Upstream {
    /// The name of the cluster that it makes.
    pub fn cluster_name(&self) -> ClusterName {
        match self {
            Self::Service(service, port) => ClusterName::service(service, *port),
            Self::Pool(pool, _) => ClusterName::pool(pool),
            Self::Picker(service, port, _) => ClusterName::picker(service, *port),
        }
    }

    /// The Service that its endpoints come from; `None` for a pool.
    pub fn service(&self) -> Option<&NamespacedName> {
        match self {
            Self::Service(service, _) | Self::Picker(service, ..) => Some(service),
            Self::Pool(..) => None,
        }
    }
}

/// What a cluster's endpoints speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 over cleartext, or over TLS when the cluster has TLS.
    Http2,
    /// HTTP/1.1 with WebSocket upgrades.
    WebSocket,
}

/// A pool's endpoint picker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Picker {
    /// The picker's own cluster.
    pub cluster: ClusterName,
    /// What happens when it does not answer.
    pub failure_mode: FailureMode,
    /// How it is asked.
    pub mode: PickerMode,
}

/// How a picker is asked over ext_proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PickerMode {
    /// Ours: the buffered request, the response's headers, no response body.
    Buffered,
    /// Any GIE picker: full duplex both ways.
    FullDuplex,
}

/// How the proxy speaks to a picker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PickerSecurity {
    /// TLS without verification: foreign pickers' default is a self-signed certificate, and the API has no field for it.
    TlsUnverified,
    /// Cleartext, by annotation.
    Cleartext,
    /// TLS, verified: a picker of ours, with the name of its Service in a certificate that the control plane issued.
    TlsVerified,
    /// TLS, verified as the cluster's policy says.
    TlsByPolicy,
    /// TLS without verification, to a picker of ours where nobody issues certificates.
    TlsSelfSigned,
}

impl PickerSecurity {
    /// Whether the picker is one of ours, which tells its health over gRPC on the port of ext_proc.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::TlsVerified | Self::TlsSelfSigned)
    }
}
