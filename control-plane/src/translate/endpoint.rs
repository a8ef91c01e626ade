//! Endpoints: EDS.

use std::sync::Arc;

use envoy_types::pb::envoy::config::{
    core::v3::HealthStatus,
    endpoint::v3::{
        ClusterLoadAssignment, Endpoint as PbEndpoint, LbEndpoint, LocalityLbEndpoints,
        lb_endpoint::HostIdentifier,
    },
};

use super::{TRANSLATION_SALT, listener::socket, snapshot::resource};
use crate::{
    gateway::ir::{EndpointSet, EndpointState},
    xds::{Resource, Version},
};

/// The resource of one endpoint set. Its version covers addresses, ports and states only: labels and the like are for
/// pickers.
pub fn endpoint_resource(set: &EndpointSet) -> Arc<Resource> {
    Arc::new(resource(set.cluster.as_str(), version(set), &assignment(set)))
}

/// The version of a set's resource.
pub fn version(set: &EndpointSet) -> Version {
    let parts: Vec<_> = set.endpoints.iter().map(|e| (e.address, e.port, e.state)).collect();
    Version::of(TRANSLATION_SALT, &(&set.cluster, parts))
}

/// The message.
pub(super) fn assignment(set: &EndpointSet) -> ClusterLoadAssignment {
    let endpoints: Vec<_> = set
        .endpoints
        .iter()
        .map(|endpoint| LbEndpoint {
            // A draining endpoint gets no new request by load balancing, but still the ones that were picked for it.
            health_status: match endpoint.state {
                EndpointState::Ready => HealthStatus::Unknown,
                EndpointState::Draining => HealthStatus::Draining,
            }
            .into(),
            host_identifier: Some(HostIdentifier::Endpoint(PbEndpoint {
                address: Some(socket(endpoint.address, endpoint.port)),
                ..Default::default()
            })),
            ..Default::default()
        })
        .collect();
    let localities = (!endpoints.is_empty())
        .then(|| LocalityLbEndpoints { lb_endpoints: endpoints, ..Default::default() });
    ClusterLoadAssignment {
        cluster_name: set.cluster.as_str().to_owned(),
        endpoints: localities.into_iter().collect(),
        ..Default::default()
    }
}
