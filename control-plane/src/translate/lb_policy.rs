//! Load-balancing policies.

use envoy_types::pb::envoy::{
    config::cluster::v3::{LoadBalancingPolicy, load_balancing_policy::Policy},
    config::core::v3::TypedExtensionConfig,
    extensions::load_balancing_policies::{
        least_request::v3::LeastRequest,
        override_host::v3::{OverrideHost, override_host::OverrideHostSource},
    },
    r#type::metadata::v3::{MetadataKey, metadata_key},
};

use super::{
    names::{LB_NAMESPACE, PICKED, SERVED},
    value::extension,
};

/// The picker's choice when there is one, else the endpoint with the fewest requests.
///
/// The choice is read from dynamic metadata only: a header source would let clients choose the endpoint.
pub(super) fn picked() -> LoadBalancingPolicy {
    let policy = OverrideHost {
        override_host_sources: vec![OverrideHostSource { metadata: Some(key(PICKED)), ..Default::default() }],
        selected_host_key: Some(key(SERVED)),
        fallback_policy: Some(least_request()),
    };
    of(extension("envoy.load_balancing_policies.override_host", &policy))
}

/// The endpoint with the fewest requests, of two at random.
pub(super) fn least_request() -> LoadBalancingPolicy {
    of(extension("envoy.load_balancing_policies.least_request", &LeastRequest::default()))
}

fn of(policy: TypedExtensionConfig) -> LoadBalancingPolicy {
    LoadBalancingPolicy { policies: vec![Policy { typed_extension_config: Some(policy) }] }
}

fn key(name: &str) -> MetadataKey {
    let segment = metadata_key::path_segment::Segment::Key(name.to_owned());
    MetadataKey {
        key: LB_NAMESPACE.to_owned(),
        path: vec![metadata_key::PathSegment { segment: Some(segment) }],
    }
}
