//! Envoy's request messages, as the session takes them.

use envoy_types::pb::envoy::{
    config::core::v3::{Node, node::UserAgentVersionType},
    service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest},
};

use crate::{
    api::NamespacedName,
    xds::{Asks, Protocol, Request, ResourceType, nodes::Identity},
};

/// A request message of one variant of the protocol.
pub(super) trait Wire: prost::Message + Default + 'static {
    /// The variant.
    const PROTOCOL: Protocol;

    /// Who sends it; only in the first message of a stream.
    fn take_node(&mut self) -> Option<Node>;

    /// What the session has to know; `None` if the type is none that is served.
    fn into_request(self) -> Option<Request>;
}

impl Wire for DeltaDiscoveryRequest {
    const PROTOCOL: Protocol = Protocol::Delta;

    fn take_node(&mut self) -> Option<Node> {
        self.node.take()
    }

    fn into_request(self) -> Option<Request> {
        Some(Request {
            kind: ResourceType::from_type_url(&self.type_url)?,
            nonce: self.response_nonce,
            error: self.error_detail.map(|status| status.message),
            asks: Asks::Delta {
                subscribe: self.resource_names_subscribe,
                unsubscribe: self.resource_names_unsubscribe,
                initial: self.initial_resource_versions.into_iter().collect(),
            },
        })
    }
}

impl Wire for DiscoveryRequest {
    const PROTOCOL: Protocol = Protocol::Sotw;

    fn take_node(&mut self) -> Option<Node> {
        self.node.take()
    }

    fn into_request(self) -> Option<Request> {
        Some(Request {
            kind: ResourceType::from_type_url(&self.type_url)?,
            nonce: self.response_nonce,
            error: self.error_detail.map(|status| status.message),
            asks: Asks::Sotw { names: self.resource_names },
        })
    }
}

/// The Gateway that an Envoy belongs to: `node.cluster` is `namespace/name`.
pub(super) fn gateway_of(node: &Node) -> Option<NamespacedName> {
    let (namespace, name) = node.cluster.split_once('/')?;
    let valid = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
    valid.then(|| NamespacedName::new(namespace, name))
}

/// Who an Envoy says it is.
pub(super) fn identity_of(node: Node) -> Identity {
    let envoy = match node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentVersion(version)) => version,
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => build
            .version
            .map(|v| format!("{}.{}.{}", v.major_number, v.minor_number, v.patch))
            .unwrap_or_default(),
        None => String::new(),
    };
    Identity { id: node.id, envoy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_of_a_node_is_its_gateway() {
        let gateway = |cluster: &str| gateway_of(&Node { cluster: cluster.into(), ..Node::default() });
        assert_eq!(gateway("ns/gw"), Some(NamespacedName::new("ns", "gw")));
        for cluster in ["", "gw", "/gw", "ns/", "ns/gw/x"] {
            assert_eq!(gateway(cluster), None, "{cluster:?}");
        }
    }

    #[test]
    fn types_that_are_not_served_are_no_request() {
        let request =
            DeltaDiscoveryRequest { type_url: "type.googleapis.com/x".into(), ..Default::default() };
        assert_eq!(request.into_request(), None);
    }
}
