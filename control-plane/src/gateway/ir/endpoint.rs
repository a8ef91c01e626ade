//! Endpoints of clusters.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::ClusterName;

/// All endpoints of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointSet {
    /// The cluster.
    pub cluster: ClusterName,
    /// Sorted by address, then port; no pair twice.
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Whether new requests may go there.
    pub state: EndpointState,
    /// Name of the Pod, for pools; empty otherwise.
    pub pod: String,
    /// Name of the node, for pools.
    pub node: String,
    /// Index of the port in the pool's targetPorts: the data-parallel rank.
    pub rank: u32,
    /// Model server kind in lower case; empty when the Pod does not say.
    pub engine: String,
    /// Accelerator, for pools.
    pub accelerator: Accelerator,
    /// The Pod's labels, for pools.
    pub labels: BTreeMap<String, String>,
}

/// Whether new requests may go to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointState {
    /// Yes.
    Ready,
    /// No; it finishes what it has.
    Draining,
}

/// What an endpoint computes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Accelerator {
    /// Canonical class in lower case, for example `nvidia-h100-80gb`; empty when unknown.
    pub class: String,
    /// Devices that the Pod requests; 0 when unknown.
    pub count: u32,
    /// Memory of one device in bytes; 0 when unknown.
    pub memory_bytes: u64,
}
