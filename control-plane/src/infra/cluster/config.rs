//! What the infrastructure in a cluster is told by the installation.

use crate::api::NamespacedName;

/// Settings of the installation.
#[derive(Clone, Debug)]
pub struct InfraConfig {
    /// Namespace of the installation: what another one made is not deleted.
    pub installation: String,
    /// Image with `envoy` on its path.
    pub envoy_image: String,
    /// Image with `signalbox-picker` on its path.
    pub picker_image: String,
    /// Where the control plane serves ADS: its Service's DNS name.
    pub ads: HostPort,
    /// Where the control plane serves the tier API.
    pub tier_api: HostPort,
    /// Time, in seconds, for load balancers to take a Pod's endpoint away; at least this long a Pod goes on serving
    /// after it was told to end.
    pub endpoint_removal_seconds: u32,
    /// How Envoys and pickers prove who they are; cleartext when absent.
    pub identity: Option<IdentityConfig>,
}

/// A DNS name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// DNS name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Mutual TLS between the tiers. The Secrets hold `tls.crt`, `tls.key` and `ca.crt`.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// DNS name in the control plane's certificate.
    pub server_name: String,
    /// The Secret, in the Gateway's namespace, of the Gateway's Envoys.
    pub gateway_secret: fn(&NamespacedName) -> String,
    /// The Secret, in the Service's namespace, of the picker behind a Service.
    pub picker_secret: fn(&NamespacedName) -> String,
    /// Arguments by which a picker finds its identity, mounted at [`IDENTITY_DIR`].
    pub picker_args: Vec<String>,
}

/// Where the identity Secret is mounted.
pub const IDENTITY_DIR: &str = "/etc/signalbox/identity";
