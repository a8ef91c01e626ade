//! What of the Gateway API this product does, in the words of `sigs.k8s.io/gateway-api/pkg/features` v1.6.3.
//!
//! A feature is in the list only when the code does it; what is not here answers 500 or says so in a condition.

use std::collections::BTreeSet;

/// Features that resolving and translating do, whatever the infrastructure.
const SERVED: [&str; 29] = [
    "BackendTLSPolicy",
    "BackendTLSPolicySANValidation",
    "Gateway",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayPort8080",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteSchemeRedirect",
    "ReferenceGrant",
];

/// Names of all features in ascending order; `infrastructure` adds those that depend on how fleets are run, such as
/// `GatewayInfrastructure`, `GatewayStaticAddresses` and `GatewayAddressEmpty`.
pub fn features<'a>(infrastructure: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    SERVED.into_iter().chain(infrastructure.iter().copied()).collect()
}
