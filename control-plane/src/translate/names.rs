//! Names that appear in resources, and headers with a meaning.

use crate::api::NamespacedName;

/// Header with the model that the client names.
pub(super) const MODEL_HEADER: &str = "x-gateway-model-name";
/// Header with the base model of the model that the client names.
pub(super) const BASE_MODEL_HEADER: &str = "x-gateway-base-model-name";
/// Metadata key, and header, with the picker's choice.
pub(super) const PICKED: &str = "x-gateway-destination-endpoint";
/// Metadata key with the endpoint that served.
pub(super) const SERVED: &str = "x-gateway-destination-endpoint-served";
/// Metadata key with the endpoints to choose among.
pub(super) const SUBSET: &str = "x-gateway-destination-endpoint-subset";
/// Metadata namespace of the picker's choice.
pub(super) const LB_NAMESPACE: &str = "envoy.lb";
/// Metadata namespace of the subset.
pub(super) const SUBSET_NAMESPACE: &str = "envoy.lb.subset_hint";
/// Request headers that only the proxy may set: clients' copies are removed.
pub(super) const OWNED_HEADERS: [&str; 5] = [MODEL_HEADER, BASE_MODEL_HEADER, PICKED, SUBSET, SERVED];

/// Request header that says which of a socket's RouteConfigurations is looked at.
pub(super) const PART_HEADER: &str = "x-signalbox-routes";
/// Response header with the one named reason of a refusal.
pub(super) const REASON_HEADER: &str = "x-signalbox-reason";
/// gRPC metadata that tells a picker which pool is asked for.
pub(super) const POOL_METADATA: &str = "x-signalbox-pool";

/// Filter that reads the model from the body.
pub(super) const MODEL_FILTER: &str = "model";
/// Filter that answers for invalid backends.
pub(super) const REFUSE_FILTER: &str = "refuse";
/// Filter that leads from the entrance of many hostnames to a part of them.
pub(super) const PART_FILTER: &str = "part";
/// Filter that leads from a part to the hostnames with wildcards.
pub(super) const WILDCARDS_FILTER: &str = "wildcards";
/// Filter that asks endpoint pickers.
pub(super) const PICKER_FILTER: &str = "epp";
/// Filter that reads token usage from responses.
pub(super) const TOKEN_FILTER: &str = "token-usage";

/// A cluster that never exists: routes to it are answered by the proxy.
pub(super) const NO_CLUSTER: &str = "signalbox/none";

/// The `:authority` of requests to a Service of pickers. Envoy's default is the cluster's name, whose slashes HTTP/2
/// servers refuse.
pub(super) fn authority(service: &NamespacedName, port: u16) -> String {
    format!("{}:{port}", service.service_host())
}

/// The listener of a port. Stable, so that edits update it in place.
pub(super) fn listener(port: u16) -> String {
    format!("tcp-{port}")
}

/// The RouteConfiguration of a port; also its filter chain and stat prefix.
pub(super) fn routes(port: u16) -> String {
    format!("http-{port}")
}

/// The RouteConfiguration of one server name on a port; also its filter chain and stat prefix.
pub(super) fn tls_routes(port: u16, server_name: &str) -> String {
    format!("https-{port}/{server_name}")
}
